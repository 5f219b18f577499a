"""Bytes reach iroh whole, and a module that looks different is left alone."""

from types import ModuleType, SimpleNamespace

import iroh
import pytest

from peerscope.transport.iroh import FAST_BUFFERS
from peerscope.transport.wire import speed_up


def test_this_iroh_is_the_one_we_know() -> None:
    assert FAST_BUFFERS


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 300, 70_000])
def test_what_is_written_is_what_is_there(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    builder = iroh.iroh_ffi._UniffiRustBufferBuilder()
    for part in (b"before", data, b"after"):
        builder.write(part)
    buffer = builder.finalize()
    assert buffer.data[0 : buffer.len] == b"before" + data + b"after"
    buffer.free()


@pytest.mark.parametrize("names", [{}, {"_UniffiRustBufferBuilder": SimpleNamespace()}])
def test_a_module_of_another_shape_is_left_alone(names: dict[str, object]) -> None:
    module = ModuleType("other")
    vars(module).update(names)
    assert not speed_up(module)
    assert {name: value for name, value in vars(module).items() if name in names} == names
