"""The walks of the architecture page are in the code: every function exists, and calls those below it in that order."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "peerscope"
TEXT = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
LINE = re.compile(r"^(?P<indent> *)(?P<event>=> )?(?P<name>[A-Za-z_.]+) +(?P<file>[a-z_/]+\.py)")


class Step(NamedTuple):
    """One line of a walk. `depth`: its indentation in characters."""

    depth: int
    is_event: bool
    name: str
    file: str


def walk(lines: str) -> list[Step]:
    """The steps of one code block; none where it is no walk."""
    found = [LINE.match(line) for line in lines.splitlines() if line.strip()]
    if not all(found):
        return []
    return [Step(len(m["indent"]), bool(m["event"]), m["name"], m["file"]) for m in found if m is not None]


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
WALKS = [steps for language, block in BLOCKS if not language and (steps := walk(block))]
STEPS = [step for steps in WALKS for step in steps]


def definition(step: Step) -> ast.AST:
    """The function or class that a step names."""
    tree: ast.AST = ast.parse((SOURCE / step.file).read_text(encoding="utf-8"))
    for part in step.name.split("."):
        named = [
            node
            for node in ast.iter_child_nodes(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == part
        ]
        assert named, f"{step.file} has no {step.name}"
        tree = named[0]
    return tree


def reaction(event: str) -> ast.AST:
    """The case of the table that routes an internal event."""
    tree = ast.parse((SOURCE / "mesh" / "routes.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        pattern = node.pattern if isinstance(node, ast.match_case) else None
        if isinstance(pattern, ast.MatchClass) and ast.unparse(pattern.cls).rpartition(".")[2] == event:
            return node
    raise AssertionError(f"mesh/routes.py routes no {event}")


def first_call(inside: ast.AST, name: str) -> int | None:
    """The line on which a function or class of this name is first called."""
    lines = [
        node.lineno
        for node in ast.walk(inside)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name
    ]
    return min(lines, default=None)


def children(steps: list[Step], index: int) -> list[Step]:
    """The steps right below one."""
    below: list[Step] = []
    for step in steps[index + 1 :]:
        if step.depth <= steps[index].depth:
            break
        below.append(step)
    least = min((step.depth for step in below), default=0)
    return [step for step in below if step.depth == least]


def test_there_are_walks_and_they_are_long() -> None:
    assert len(WALKS) >= 3
    assert len(STEPS) >= 30


@pytest.mark.parametrize(
    "step", {f"{step.file}:{step.name}": step for step in STEPS}.values(), ids=lambda step: step.name
)
def test_every_step_exists(step: Step) -> None:
    assert definition(step) is not None


@pytest.mark.parametrize(
    ("steps", "index"),
    [
        pytest.param(steps, index, id=f"{number}-{step.name}")
        for number, steps in enumerate(WALKS)
        for index, step in enumerate(steps)
        if children(steps, index)
    ],
)
def test_every_step_calls_those_below_it_in_order(steps: list[Step], index: int) -> None:
    step = steps[index]
    inside = reaction(step.name) if step.is_event else definition(step)
    lines = []
    for below in children(steps, index):
        line = first_call(inside, below.name.rpartition(".")[2])
        assert line is not None, f"{step.name} ({step.file}) does not call {below.name}"
        lines.append(line)
    assert lines == sorted(lines), f"{step.name} calls them in another order: {lines}"


def test_the_check_sees_a_wrong_picture() -> None:
    steps = walk("Peer.tick  mesh/peer.py\n  Ledger.merge  records/ledger.py\n")
    assert first_call(definition(steps[0]), "merge") is None
    with pytest.raises(AssertionError, match="has no"):
        definition(Step(0, False, "Peer.sleep", "mesh/peer.py"))
