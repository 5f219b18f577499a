"""An HTTP receiver for every test that wants one."""

from collections.abc import Iterator

import pytest

from command_line import peerscope as peerscope
from receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
