"""Runs what a document tells its reader to run: the fenced blocks that a comment before them marks.

    <!-- run -->                          every command ends with 0
    <!-- run, shows: WORD -->             and the output has this word
    <!-- run, ends with: 1 -->            the last command ends with this
    <!-- run in background until: WORD -->  it goes on; the next block waits until it has said this word

All blocks of one document share one shell, as for a reader with one terminal (and more for the background).
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

MARK = re.compile(
    r"<!-- run(?: in background until: (?P<until>[^>]+?)"
    r"|(?:, shows: (?P<shows>[^>]+?))?(?:, ends with: (?P<code>\d+))?) -->\n"
    r"```(?:sh|console)\n(?P<commands>.*?)```",
    re.DOTALL,
)
PATIENCE_S = 180


class Block(NamedTuple):
    """What to run, and what must come of it."""

    commands: str
    until: str | None
    shows: str | None
    code: int


def blocks(text: str) -> list[Block]:
    """In their order."""
    return [Block(m["commands"], m["until"], m["shows"], int(m["code"] or 0)) for m in MARK.finditer(text)]


# What a block says goes to a file. A block runs in this very shell, not in a pipe: what it sets the next one uses.
PRELUDE = f"""
fail() {{ echo "SURPRISE in block $1: $2" >&2; tail -n 20 said-* >&2; exit 1; }}
begin() {{ exec 3>&1 4>&2 >said-$1 2>&1; }}
step() {{ CODE=$?; [ $CODE = 0 ] || {{ exec >&3 2>&4 3>&- 4>&-; fail $1 "ended with $CODE"; }}; }}
over() {{ CODE=$?; exec >&3 2>&4 3>&- 4>&-; [ $CODE = $2 ] || fail $1 "ended with $CODE"; }}
shows() {{ grep -q -- "$2" said-$1 || fail $1 "does not show $2"; }}
wait_for() {{ for i in $(seq {5 * PATIENCE_S}); do grep -q -- "$2" said-$1 && return; sleep 0.2; done; shows "$@"; }}
"""


def script(found: list[Block]) -> str:
    """The whole document as one script that stops at the first surprise and says which block it was."""
    lines = [PRELUDE]
    for number, block in enumerate(found, 1):
        if block.until is not None:
            lines += [f"( set -e; exec </dev/null; {block.commands.strip()} ) >said-{number} 2>&1 & STARTED=$!"]
            lines += [f"wait_for {number} {shlex.quote(block.until)}"]
            continue
        *most, last = _commands(block.commands)
        lines += [f"begin {number}", *(f"{one}\nstep {number}" for one in most)]
        lines += [last, f"over {number} {block.code}"]
        if block.shows is not None:
            lines += [f"shows {number} {shlex.quote(block.shows)}"]
    return "\n".join([*lines, "echo ALL BLOCKS RAN"]) + "\n"


def play(text: str, place: Path) -> str:
    """Run a document in an empty folder, with `peerscope` on the path; return its output."""
    programs = place / "bin"
    programs.mkdir()
    program = programs / "peerscope"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m peerscope "$@"\n')
    program.chmod(0o755)
    work = place / "work"
    work.mkdir()
    known = {name: value for name, value in os.environ.items() if not name.startswith("PEERSCOPE_")}
    calm = {"PEERSCOPE_HEALTH__CPU__DEGRADED": "1", "PEERSCOPE_HEALTH__CPU__UNHEALTHY": "1"}
    environment = known | calm | {"PATH": f"{programs}:{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "200"}
    told = place / "told"  # no pipe: what goes on in the background could hold it open
    with told.open("w") as output:
        shell = subprocess.Popen(
            [*_alone(), "bash", "-c", script(blocks(text))],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(timeout=5 * PATIENCE_S)
        finally:
            _end(shell.pid)
            shell.wait()
    return told.read_text()


def _alone() -> list[str]:
    """A network of its own, where one may have it: documents use the usual ports, and so may other tests just now."""
    loopback = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "loopback")]
    prefix = ["unshare", "--net", *loopback]
    may = subprocess.run([*prefix, "true"], capture_output=True).returncode == 0 if shutil.which("unshare") else False
    return prefix if may else []


def _commands(text: str) -> list[str]:
    """One for each line; a line that ends in a backslash goes on."""
    return [one for one in re.split(r"(?<!\\)\n", text) if one.strip() and not one.startswith("#")]


def _end(session: int) -> None:
    """Everything the script left running, which is in its session: first politely, as Ctrl-C would."""
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        left = [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _session(stat) == session]
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        for _ in range(10 * seconds):
            if not any(_session(Path(f"/proc/{pid}/stat")) == session for pid in left):
                return
            subprocess.run(["sleep", "0.1"], check=True)


def _session(stat: Path) -> int:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] == "Z" else int(fields[3])
