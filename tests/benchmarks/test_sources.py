"""The comparison of sources with their programs, without any program."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "sources.py"
SPEC = importlib.util.spec_from_file_location("sources_benchmark", FILE)
assert SPEC is not None
assert SPEC.loader is not None
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


@pytest.mark.parametrize(
    ("ours", "before", "truth", "agree"),
    [
        (5, 4, 6, True),
        (7, 4, 6, False),
        (3, 4, 2, True),
        ("a", "a", "b", True),
        ("c", "a", "b", False),
        (["a", "b"], None, ("b", "a"), True),
        (None, 1, 1, None),
        (0, None, 0, True),
        (1, 1, None, None),
    ],
)
def test_a_value_agrees_with_the_program_around_it(ours: Any, before: Any, truth: Any, agree: bool | None) -> None:
    assert benchmark.agrees(ours, before, truth) is agree


def test_every_starter_is_found_by_the_name_of_its_program_and_a_missing_program_is_named() -> None:
    names = {name for name, _ in benchmark.starters()}
    assert {"etcd", "yggdrasil"} <= names
    assert not names & benchmark.NO_SOURCE
    assert benchmark.measured("no-such-program", lambda: None, 1.0) == {"missing": "no-such-program"}
