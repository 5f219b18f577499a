"""The core stays pure, and the check that says so can fail."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
problems = runpy.run_path(str(ROOT / "scripts" / "check-purity"))["problems"]


def problems_of(tmp_path: Path, file: str, code: str) -> list[str]:
    path = tmp_path / "src" / "peerscope" / file
    path.parent.mkdir(parents=True)
    path.write_text(code)
    return list(problems(tmp_path))


def test_the_core_is_pure() -> None:
    assert list(problems(ROOT)) == []


@pytest.mark.parametrize(
    ("file", "code", "expected"),
    [
        ("mesh/peer.py", "import asyncio", "imports asyncio"),
        ("mesh/peer.py", "from os.path import join", "imports os"),
        ("views/deep/down.py", "def f():\n    import time", "imports time"),
        ("errors.py", "import socket", "imports socket"),
        ("mesh/peer.py", "import random\nrandom.choice([1])", "uses random.choice"),
        ("mesh/peer.py", "import random as dice\ndice.shuffle([])", "uses random.shuffle"),
        ("mesh/peer.py", "from random import choice", "imports random.choice"),
        ("mesh/peer.py", "import random\nrng = random.Random()", "seeds random.Random()"),
        ("mesh/peer.py", "from random import Random\nrng = Random()", "seeds Random()"),
        ("mesh/peer.py", "import datetime\ndatetime.datetime.now()", "calls now()"),
        ("mesh/peer.py", "from datetime import datetime as dt\ndt.utcnow()", "calls utcnow()"),
        ("mesh/peer.py", "from datetime import date\ndate.today()", "calls today()"),
        ("mesh/peer.py", "from peerscope.transport import base", "which is shell"),
        ("mesh/peer.py", "from ..web.app import app", "which is shell"),
        ("mesh/peer.py", "from .. import agent", "which is shell"),
        ("mesh/peer.py", "import peerscope", "which is shell"),
        ("mesh/peer.py", "from peerscope import views", "which comes after mesh"),
        ("mesh/__init__.py", "from ..views.health import x", "which comes after mesh"),
        ("records/ledger.py", "import peerscope.mesh.peer", "which comes after records"),
    ],
)
def test_a_breach_is_named_with_its_line(tmp_path: Path, file: str, code: str, expected: str) -> None:
    (problem,) = problems_of(tmp_path, file, code)
    line = len(code.splitlines())
    assert problem.startswith(f"src/peerscope/{file}:{line}: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("mesh/peer.py", "import random\ndef f(rng: random.Random): return rng.choice([1])"),
        ("mesh/peer.py", "from random import Random\nrng = Random(7)"),
        (
            "mesh/peer.py",
            "from ..records import ledger\nfrom .rings import K\nfrom peerscope.errors import RemoteError",
        ),
        ("mesh/peer.py", "from datetime import datetime\nf = datetime.fromtimestamp"),
        ("mesh/peer.py", "def f(peer): return peer.now"),
        ("zones/summary.py", "from peerscope.threats.sybil import score"),
        ("transport/driver.py", "import asyncio, time"),
    ],
)
def test_good_code_passes(tmp_path: Path, file: str, code: str) -> None:
    assert problems_of(tmp_path, file, code) == []
