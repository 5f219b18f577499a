"""The counts of `scripts/structure`, on small trees whose structure is plain to see."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "structure"
structure = runpy.run_path(str(SCRIPT))


def tree_of(tmp_path: Path, files: dict[str, str], name: str = "app") -> Path:
    """Write files, with an `__init__.py` in each folder."""
    root = tmp_path / name
    for file, code in {"__init__.py": "", **files}.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        (path.parent / "__init__.py").touch()
    return root


def measured(tmp_path: Path, files: dict[str, str]) -> dict[str, Any]:
    return structure["measure"](tree_of(tmp_path, files))


def broken(tmp_path: Path, files: dict[str, str]) -> list[str]:
    return list(structure["broken"](measured(tmp_path, files)))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


GOOD = {
    "errors.py": "class AppError(Exception): ...",
    "records/ledger.py": "class Ledger:\n    def __init__(self, limit: int) -> None:\n        self.limit = limit",
    "mesh/peer.py": (
        "from app.records.ledger import Ledger\n"
        "class Peer:\n"
        "    def __init__(self, me: str, *, now: float) -> None:\n"
        "        self.ledger = Ledger(3)\n"
    ),
}


def test_modules_lines_and_packages_are_counted(tmp_path: Path) -> None:
    found = measured(tmp_path, GOOD)
    assert (found["modules"], found["packages"], found["lines"]) == (6, 3, 1 + 3 + 4)


@pytest.mark.parametrize(
    ("code", "arrows", "typing_arrows"),
    [
        ("from app.b import two", 1, 0),
        ("from app.b import two\nfrom app.b import three", 1, 0),
        ("import app.b, app.c", 2, 0),
        ("from app import b, c", 2, 0),
        ("from . import b", 1, 0),
        ("from .b import two", 1, 0),
        ("from app import __version__", 1, 0),
        ("def f():\n    from app import b", 1, 0),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from app import b", 0, 1),
        ("import typing\nif typing.TYPE_CHECKING:\n    from app import b\nelse:\n    from app import c", 1, 1),
        ("from typing import TYPE_CHECKING\nfrom app import b\nif TYPE_CHECKING:\n    from app.b import two", 1, 0),
        ("import asyncio, json", 0, 0),
    ],
)
def test_an_arrow_is_one_module_importing_another_of_the_tree(
    tmp_path: Path, code: str, arrows: int, typing_arrows: int
) -> None:
    found = measured(tmp_path, {"a.py": code, "b.py": "two = three = 2", "c.py": ""})
    assert (found["arrows"], found["typing_arrows"]) == (arrows, typing_arrows)


def test_relative_imports_climb_to_the_package_above(tmp_path: Path) -> None:
    found = measured(
        tmp_path, {"mesh/peer.py": "from ..web import app\nfrom .. import one", "web/app.py": "", "one.py": ""}
    )
    assert found["arrows"] == 2


def test_circles_are_listed_with_those_that_only_types_make(tmp_path: Path) -> None:
    found = measured(
        tmp_path,
        {
            "a.py": "from app import b",
            "b.py": "def late():\n    from app import a",
            "c.py": "from app import d",
            "d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from app import c",
            "e.py": "from app import a",
        },
    )
    assert found["circles"] == [["a.py", "b.py"], ["c.py", "d.py"]]
    assert found["circles_without_types"] == [["a.py", "b.py"]]


def test_arity_counts_every_parameter_but_self(tmp_path: Path) -> None:
    code = (
        "class Wide:\n    def __init__(self, a, b=1, *rest, c, d=2, **more): ...\n"
        "class Narrow:\n    def __init__(self): ...\n"
        "class Bare: ...\n"
    )
    found = measured(tmp_path, {"web/app.py": code})
    assert [(one["class"], one["arity"], one["keyword_only"]) for one in found["constructors_longest"]] == [
        ("Wide", 6, 2),
        ("Narrow", 0, 0),
    ]
    assert (found["arity_max"], found["arity_max_core"]) == (6, 0)


def test_long_files_and_long_constructors_are_listed(tmp_path: Path) -> None:
    wiring = "class Peer:\n    def __init__(self):\n" + "        self.a = 1\n" * 40
    found = measured(tmp_path, {"mesh/peer.py": wiring, "web/a.py": "\n" * 351, "web/b.py": "\n" * 350})
    assert found["long_files"] == {"web/a.py": 351}
    assert found["wiring"] == [{"class": "Peer", "file": "mesh/peer.py", "line": 2, "lines": 41}]


def test_partners_are_the_parts_that_a_constructor_keeps(tmp_path: Path) -> None:
    parts = (
        "import enum, msgspec\nfrom dataclasses import dataclass\n"
        "class Ledger: ...\nclass Rings: ...\nclass Watch: ...\nclass Gossip: ...\n"
        "class Config(msgspec.Struct): ...\nclass Small(Config): ...\nclass Sort(enum.Enum): ...\n"
        "@dataclass(frozen=True)\nclass Point: ...\nclass Broken(ValueError): ...\n"
    )
    peer = (
        "from app.mesh import parts\nfrom app.mesh.parts import *\n"
        "from app.mesh.parts import Broken, Config, Gossip, Ledger, Point, Small, Sort, Watch\n"
        "from app.web.app import App\n"
        "class Peer:\n"
        "    def __init__(self, ledger: Ledger, config: Config, watch: 'Watch | None', app: App, unused: Gossip):\n"
        "        self.ledger = ledger\n        self._watch = watch\n        self.rings = parts.Rings()\n"
        "        gossip = Gossip()\n        self.gossip: Gossip | None = None\n        self.second = gossip\n"
        "        self.config, self.app = config, app\n        self.config = config\n        self.app = app\n"
        "        self.point = Point()\n        self.small = Small()\n        self.sort = Sort(1)\n"
        "        self.n = len('')\n"
    )
    found = measured(tmp_path, {"mesh/parts.py": parts, "mesh/peer.py": peer, "web/app.py": "class App: ..."})
    (one,) = found["partners_most"]
    assert one["partners"] == {
        "ledger": "Ledger",
        "_watch": "Watch",
        "rings": "Rings",
        "gossip": "Gossip",
        "second": "Gossip",
    }
    assert found["partners"] == 5


CALLBACK = "from collections.abc import Callable\nfrom typing import Protocol\n"


@pytest.mark.parametrize(
    "code",
    [
        "class Peer:\n    def __init__(self, evict: Callable[[str], None]): ...",
        "class Peer:\n    def __init__(self, *, evict: 'Callable[[str], None] | None' = None): ...",
        "class Peer:\n    def __init__(self, evict: dict[str, Callable[[str], None]]): ...",
        "class Peer:\n    def __init__(self):\n        self.evict: Callable[[str], None] = print",
        "class Peer:\n    evict: Callable[[str], None]",
        "Evict = Callable[[str], None]\nclass Peer:\n    def __init__(self, evict: Evict): ...",
        "class Evict(Protocol):\n    def __call__(self): ...\nclass Peer:\n    def __init__(self, evict: Evict): ...",
        "import typing\nclass Peer:\n    def __init__(self, evict: typing.Callable[[str], None]): ...",
    ],
)
def test_functions_kept_by_a_part_are_callbacks(tmp_path: Path, code: str) -> None:
    (callback,) = measured(tmp_path, {"mesh/peer.py": CALLBACK + code})["callbacks"]
    assert callback["callback"] == "Peer.evict"
    assert callback["barred"]


@pytest.mark.parametrize(
    "code",
    [
        "class Peer:\n    def tick(self, is_known: Callable[[str], bool]): ...",
        "class Signer(Protocol):\n    def sign(self): ...\nclass Peer:\n    def __init__(self, signer: Signer): ...",
        "class Peer:\n    def __init__(self, counts: dict[str, int]): ...",
    ],
)
def test_arguments_of_methods_and_objects_are_no_callbacks(tmp_path: Path, code: str) -> None:
    assert measured(tmp_path, {"mesh/peer.py": CALLBACK + code})["callbacks"] == []


def test_pure_functions_given_from_outside_are_listed_but_allowed(tmp_path: Path) -> None:
    files = {
        "records/record.py": CALLBACK + "Inspector = Callable[[str], bool]",
        "mesh/peer.py": (
            "from app.records.record import Inspector\nclass Peer:\n    def __init__(self, inspector: Inspector): ..."
        ),
    }
    (callback,) = measured(tmp_path, files)["callbacks"]
    assert callback["type"] == "Inspector"
    assert callback["allowed"]
    assert broken(tmp_path, files) == []


def test_a_good_tree_breaks_no_rule(tmp_path: Path) -> None:
    assert broken(tmp_path, GOOD) == []
    assert run(tree_of(tmp_path, GOOD), "--check").returncode == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"mesh/a.py": "from app.mesh import b", "mesh/b.py": "from app.mesh import a"}, "mesh/a.py <-> mesh/b.py"),
        ({"mesh/a.py": "class A:\n    def __init__(self, a, b, c, d, e, f): ..."}, "mesh/a.py:2: A takes 6 arguments"),
        ({"core.py": "class A:\n    def __init__(self, a, b, c, d, *, e, f): ..."}, "core.py:2: A takes 6 arguments"),
        (
            {"core.py": CALLBACK + "class A:\n    def __init__(self, f: Callable[[], None]): ..."},
            "core.py:4: A.f is a callback",
        ),
        (
            {"mesh/a.py": "class A: ...", "web/a.py": "\nclass A: ..."},
            "mesh/a.py:1: class A is also defined in web/a.py:2",
        ),
        ({"helpers.py": ""}, "helpers.py: lies beside the packages"),
    ],
)
def test_a_broken_rule_is_one_line(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    (problem,) = broken(tmp_path, {**GOOD, **files})
    assert expected in problem
    result = run(tmp_path / "app", "--check")
    assert (result.returncode, result.stderr) == (1, f"{problem}\n")


def test_a_name_with_a_reason_may_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(structure["broken"].__globals__["SHARED_NAMES"], "A", "two worlds")
    assert broken(tmp_path, {"mesh/a.py": "class A: ...", "web/a.py": "class A: ..."}) == []


@pytest.mark.parametrize(
    "files",
    [
        {"mesh/a.py": "class A:\n    def __init__(self, a, b, c, d, e): ..."},
        {"web/a.py": "class A:\n    def __init__(self, a, b, c, d, e, f): ..."},
        {"web/a.py": CALLBACK + "class A:\n    def __init__(self, f: Callable[[], None]): ..."},
        {"core.py": "", "config.py": "", "__main__.py": ""},
    ],
)
def test_what_the_rules_allow_passes(tmp_path: Path, files: dict[str, str]) -> None:
    assert broken(tmp_path, {**GOOD, **files}) == []


def test_two_trees_stand_beside_each_other_and_neither_is_imported(tmp_path: Path) -> None:
    bomb = {"mesh/a.py": "raise SystemExit('imported')\n"}
    old, new = tree_of(tmp_path / "old", GOOD | bomb), tree_of(tmp_path / "new", GOOD)
    result = run(new, "--tree", old)
    assert result.returncode == 0, result.stderr
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("modules ") and "beside" not in line]
    assert row.split() == ["modules", "7", "6"]
    before, after = json.loads(run(new, "--tree", old, "--json").stdout)
    assert (before["modules"], after["modules"]) == (7, 6)
