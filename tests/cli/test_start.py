"""The command line answers before anything heavy is loaded."""

import subprocess
import sys

import pytest

HEAVY = ("iroh", "starlette", "uvicorn", "psutil", "cryptography", "msgspec", "rich", "sqlite3", "asyncio", "rustworkx")


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], []])
def test_help_loads_nothing_that_it_does_not_show(arguments: list[str]) -> None:
    # Counted in modules, not in seconds: those depend on the machine (benchmarks/startup.py measures them).
    code = f"""
import sys
sys.argv[1:] = {arguments!r}
from peerscope.cli import main
try:
    main()
except SystemExit:
    pass
print("LOADED", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert loaded <= ({"rich", "msgspec"} if "status" in arguments else set())


def test_an_agent_loads_no_typing_extensions_and_others_still_can() -> None:
    code = """
import gc, sys
from peerscope.cli import cli
assert cli.get_command(None, "run") is not None
assert "msgspec" in sys.modules and gc.isenabled()
print("typing_extensions" in sys.modules)
import typing_extensions
print(typing_extensions.NotRequired)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "typing.NotRequired"]
