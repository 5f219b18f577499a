"""Real programs beside a test: started in a folder, ended whatever happens, and the pages on attaching them."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from peerscope.sources.base import Reading, make_source

ROOT = Path(__file__).parents[1]
PATIENCE_S = 90.0
"""Only ends a test that would never pass."""


class Programs:
    """Processes by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> None:
        """Its output goes to NAME.out in the folder."""
        with (self._folder / f"{name}.out").open("wb") as output:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=self._folder,
            )

    def until(self, truth: Callable[[], bool], what: str) -> None:
        """Wait until something holds. Fails at once if a program has ended."""
        end = time.monotonic() + PATIENCE_S
        while True:
            for name, process in self._running.items():
                assert process.poll() is None, f"{name} ended: {(self._folder / f'{name}.out').read_text()[-2000:]}"
            with contextlib.suppress(OSError, LookupError, ValueError):
                if truth():
                    return
            assert time.monotonic() < end, f"never came true: {what}; logs in {self._folder}"
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """`kill -9` one of them."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def signal(self, name: str, number: int) -> None:
        """Send a signal, such as SIGSTOP."""
        self._running[name].send_signal(number)

    def end(self) -> None:
        """Kill all."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()


@contextlib.contextmanager
def programs(folder: Path) -> Iterator[Programs]:
    """Programs that run in a folder, until the block ends."""
    running = Programs(folder)
    try:
        yield running
    finally:
        running.end()


def built(program: str) -> str:
    """The path of a program that no package brings; where nobody built it, the test is skipped by name."""
    path = f"{os.environ.get('PATH', os.defpath)}:{ROOT / '.interop' / 'bin'}"
    found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"{program} is not built: `make interop-tools`")
    return found


def read(spec: str) -> Reading:
    """One reading of a source."""

    async def reading() -> Reading:
        source = make_source(spec)
        try:
            return await source.read()
        finally:
            await source.close()

    return asyncio.run(reading())


def page_spec(program: str) -> str:
    """The first source on the page of a program, as its reader copies it."""
    match = re.search(r"--node-source '?([^\s']+)", _page(program))
    assert match is not None
    return match[1]


def page_settings(program: str) -> str:
    """The settings of the program itself on its page."""
    match = re.search(r"```ini\n(.*?)```", _page(program), re.DOTALL)
    assert match is not None
    return match[1]


def _page(program: str) -> str:
    return (ROOT / "docs" / "howto" / "nodes" / f"{program}.md").read_text()
