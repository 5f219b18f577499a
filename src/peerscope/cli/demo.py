"""The demo: a local network of real peers, one process each. All end with this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import click

from peerscope.cli.options import FOLDER, Whole
from peerscope.errors import PeerscopeError

REGIONS = ("eu-west", "us-east", "ap-south", "sa-east", "af-south", "eu-north", "us-west", "ap-east")
READY_TIMEOUT_S = 90.0
START_AT_ONCE = 4
STOP_TIMEOUT_S = 5.0


@click.command()
@click.option("--peers", default=12, show_default=True, type=Whole(1, 200), help="How many peers.")
@click.option("--regions", default=3, show_default=True, type=Whole(1, 64), help="In how many regions.")
@click.option(
    "--http", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT", help="First peer's dashboard."
)
@click.option("--state", type=FOLDER, help="Keep the peers' state here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def demo(peers: int, regions: int, http: str, state: Path | None, as_json: bool) -> None:
    """Run a local network of real peers, one process each, until Ctrl-C."""
    if state is not None:
        asyncio.run(Demo(peers, regions, http, state, as_json).run())
        return
    with tempfile.TemporaryDirectory(prefix="peerscope-demo-", ignore_cleanup_errors=True) as place:
        asyncio.run(Demo(peers, regions, http, Path(place), as_json).run())


TRACES = "[gossip]\ntrace_interval_s = 60.0  # a demo is looked at after seconds, and has no news of its own\n"
"""So the page shows latencies by route soon."""


class Demo:
    """The processes of one demo."""

    def __init__(self, peers: int, regions: int, http: str, state: Path, as_json: bool) -> None:
        self._peers = peers
        self._regions = [REGIONS[i] if i < len(REGIONS) else f"region-{i + 1}" for i in range(regions)]
        self._http = http
        self._state = state
        self._as_json = as_json
        self._processes: list[Process] = []
        self._ready: list[dict[str, Any]] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._seen: list[set[str]] = []
        """For each ready peer the ids that it has seen, itself included."""
        self._is_complete = asyncio.Event()

    async def run(self) -> None:
        """Start all peers, wait for Ctrl-C, end all peers."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopping.set)
        work = asyncio.create_task(self._show())
        stop = asyncio.create_task(stopping.wait())
        orphaned = asyncio.create_task(_parent_gone())
        try:
            await asyncio.wait((work, stop, orphaned), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            work.cancel()
            stop.cancel()
            orphaned.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._end()

    async def _show(self) -> None:
        began = time.monotonic()
        self._say(f"starting {self._peers} peers in {len(self._regions)} regions, state in {self._state}")
        first = await self._start(0, None)
        gate = asyncio.Semaphore(START_AT_ONCE)  # more would only compete for the cores

        async def start(index: int) -> dict[str, Any]:
            async with gate:
                return await self._start(index, first["ticket"])

        others = await asyncio.gather(*(start(index) for index in range(1, self._peers)))
        self._ready = [first, *others]
        await self._complete()
        if self._as_json:
            print(json.dumps({"event": "ready", "peers": self._ready}), flush=True)
        else:
            self._say(f"ready: {self._peers} peers see each other, {time.monotonic() - began:.1f} s after the start")
            print(f"dashboard  {first['http']}", flush=True)
            print(f"try        kill -9 {self._ready[-1]['pid']}; then start that peer again:")
            print(f"           {_program()} run --state {self._ready[-1]['state']}")
            print("end        Ctrl-C", flush=True)
        await asyncio.gather(*(self._watch(index) for index in range(self._peers)))
        raise PeerscopeError("every peer of the demo has ended")

    async def _start(self, index: int, ticket: str | None) -> dict[str, Any]:
        """Start one peer and wait until it is ready. Return its ready line with region and state."""
        region = self._regions[index % len(self._regions)]
        place = self._state / f"peer-{index + 1:02}"
        http = self._http if index == 0 else "127.0.0.1:0"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        # With this file, `peerscope run --state ...` starts the same peer again.
        settings = [f"[peer]\nregion = {json.dumps(region)}\njoin = {json.dumps([ticket] if ticket else [])}\n"]
        settings.append(f"[web]\nlisten = {json.dumps(http)}\n")
        settings.append("[node]\ndetect = false\n")  # many peers on one machine, beside whatever runs there
        settings.append(TRACES)
        (place / "peerscope.toml").write_text("\n".join(settings), encoding="utf-8")
        command = [sys.executable, "-m", "peerscope", "run", "--state", str(place), "--until-eof", "--json"]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            # Ctrl-C reaches this process only, which then ends the peers.
            process_group=0,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self._processes.append(process)
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise PeerscopeError(f"peer {index + 1} ended before it was ready; its output is above")
        ready = json.loads(line)
        seen = {ready["peer_id"]}
        self._seen.append(seen)
        reader = asyncio.create_task(self._read(process.stdout, seen))
        self._readers.add(reader)
        self._say(f"peer {index + 1:>3} of {self._peers}  {ready['peer_id'][:10]}  {region:<10}  {ready['http']}")
        return {
            "peer_id": ready["peer_id"],
            "pid": ready["pid"],
            "http": ready["http"],
            "ticket": ready["ticket"],
            "region": region,
            "state": str(place),
        }

    async def _complete(self) -> None:
        """Wait until every peer sees all peers."""
        self._look()
        try:
            await asyncio.wait_for(self._is_complete.wait(), READY_TIMEOUT_S)
        except TimeoutError:
            waiting = sum(len(seen) < self._peers for seen in self._seen)
            raise PeerscopeError(f"{waiting} peers do not see all others after {READY_TIMEOUT_S:.0f} s") from None

    async def _watch(self, index: int) -> None:
        """Report the end of one peer's process."""
        process = next(p for p in self._processes if p.pid == self._ready[index]["pid"])
        code = await process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        peer = self._ready[index]
        if self._as_json:
            print(
                json.dumps({"event": "ended", "peer_id": peer["peer_id"], "pid": peer["pid"], "how": how}), flush=True
            )
        else:
            self._say(f"peer {peer['peer_id'][:10]} (pid {peer['pid']}) ended: {how}")
            self._say(f"start it again with: {_program()} run --state {peer['state']}")

    def _look(self) -> None:
        if len(self._seen) == self._peers and all(len(seen) >= self._peers for seen in self._seen):
            self._is_complete.set()

    async def _read(self, stream: asyncio.StreamReader, seen: set[str]) -> None:
        """Read a peer's output, so that it never blocks. Its events say whom it sees, so nobody needs to ask its API,
        which takes 7 MB once it is used."""
        rest = b""
        while data := await stream.read(65536):
            if self._is_complete.is_set():
                continue
            *lines, rest = (rest + data).split(b"\n")
            events = (json.loads(line) for line in lines if line.startswith(b'{"event":"status"'))
            seen.update(event["peer_id"] for event in events if event["status"] not in ("down", "left"))
            self._look()

    async def _end(self) -> None:
        """Close the peers' standard input, so that they leave. Kill those that run after a few seconds."""
        running = [process for process in self._processes if process.returncode is None]
        if running:
            self._say(f"ending {len(running)} peers")
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
        waits = [asyncio.create_task(process.wait()) for process in running]
        if waits:
            await asyncio.wait(waits, timeout=STOP_TIMEOUT_S)
        for process in running:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        await asyncio.gather(*waits, return_exceptions=True)
        for reader in self._readers:
            reader.cancel()

    def _say(self, text: str) -> None:
        """Print progress to standard error; standard output is for the answer."""
        print(text, file=sys.stderr, flush=True)


def _program() -> str:
    """The command of this program: its name if a shell finds it, else its path."""
    if shutil.which("peerscope"):
        return "peerscope"
    place = Path(sys.executable).with_name("peerscope")
    with contextlib.suppress(ValueError):
        return str(place.relative_to(Path.cwd()))
    return str(place)


async def _parent_gone() -> None:
    """Wait until the parent process ends, after which nobody could end the demo."""
    parent = os.getppid()
    while parent == 1 or os.getppid() == parent:  # init itself started it and never ends
        await asyncio.sleep(1.0)
