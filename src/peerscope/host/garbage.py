"""Python's search for garbage in circles, while modules load.

Modules make next to no garbage, and each search looks at everything that was loaded so far. Searching takes a tenth of
an agent's start.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing(*, for_good: bool = False) -> Iterator[None]:
    """Search for no garbage in this context. `for_good`: everything that exists at its end stays until the process
    ends, so later searches leave it out."""
    gc.disable()
    try:
        yield
    finally:
        if for_good:
            gc.freeze()
        gc.enable()
