"""A program for tests: runs many command lines of peerscope in one environment, each in a process of its own.

On standard input: a JSON list of `[arguments, further environment]`. On standard output: for each of them
`[exit code, output, complaint]`. The processes are forks of this one, which has loaded what every environment has: a
third of the time of as many programs.
"""

import asyncio  # noqa: F401
import json
import os
import signal
import sys
import tempfile
import traceback

import click  # noqa: F401
import iroh  # noqa: F401
import msgspec  # noqa: F401
import rich.console
import rich.table  # noqa: F401
import uvloop  # noqa: F401

PATIENCE_S = 100


def ask(arguments: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaint:
        child = os.fork()
        if child == 0:
            os.environ.update(environment)
            run(arguments, said.fileno(), complaint.fileno())
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (said, complaint):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def run(arguments: list[str], said: int, complaint: int) -> None:
    """As bin/peerscope does; never returns."""
    signal.alarm(PATIENCE_S)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), said, complaint)):
        os.dup2(file, number)
    sys.argv = ["peerscope", *arguments]
    code: object = 0
    try:
        from peerscope.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    print(json.dumps([ask(*each) for each in json.load(sys.stdin)]))
