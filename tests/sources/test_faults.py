"""Faults of answers, as people read them."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from peerscope.sources.faults import fault


class Animal(Struct):
    name: Annotated[str, Meta(pattern="^[a-z]{3}$")] = "cat"
    legs: Annotated[int, Meta(le=8)] = 4


class Zoo(Struct):
    animals: dict[Annotated[str, Meta(pattern="^[0-9]$")], Animal]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"animals": {"1": {"name": "CAT"}}}, "animals[...].name: not of the expected form"),
        ({"animals": {"1": {"legs": 9}}}, "animals[...].legs: Expected `int` <= 8"),
        ({"animals": {"x": {}}}, "key in animals: not of the expected form"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_a_fault_names_the_place_and_no_pattern(answer: Any, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(answer), type=Zoo)
    assert fault(refused.value) == said
