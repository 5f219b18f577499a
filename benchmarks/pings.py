"""What one ping and its answer cost: as datagrams of QUIC, and sealed by plain UDP.

    .venv/bin/python benchmarks/pings.py [--rate 50] [--seconds 20] [--rounds 3]

Prints JSON. Two transports in two processes on loopback, in a network namespace of their own where that is allowed.
One end sends `--rate` pings a second; the other answers each from its event loop. Rounds by QUIC, by UDP and without
pings take turns. `cpu_ms` is the CPU time of both processes with all threads for a round trip, `packets` the UDP
packets of the namespace for it (/proc/net/snmp); both less those of rounds without pings. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from peerscope.mesh.events import Lane, Received
from peerscope.mesh.messages import Ping, Pong, decode, encode
from peerscope.transport.iroh import IrohTransport, parse_ticket

LOOPBACK = Path(__file__).parents[1] / "scripts" / "loopback"
ISOLATED = "PEERSCOPE_BENCHMARK_ISOLATED"
ADDRESS = "127.0.0.1:0"
READY_S = 60.0
OFF = "off"


def main() -> None:
    """Parse, isolate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each part of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        uvloop.run(answer(options.answer))
        return
    isolate()
    result = {"benchmark": "pings", "rate": options.rate, "cores": os.cpu_count(), "load_1m": os.getloadavg()[0]}
    print(json.dumps(result | uvloop.run(measure(options)), indent=2))


def isolate() -> None:
    """Start this program again in a network namespace that has only loopback, where that is allowed."""
    if ISOLATED in os.environ or sys.platform != "linux" or os.geteuid() != 0:
        return
    command = ["unshare", "--net", sys.executable, str(LOOPBACK), sys.executable, *sys.argv]
    os.execvpe("unshare", command, os.environ | {ISOLATED: "1"})


async def answer(port: str) -> None:
    """The other end: answers each ping, and prints its CPU seconds for each line on stdin."""
    transport = await IrohTransport.bind(b"\2" * 32, ADDRESS, ping_port=None if port == OFF else int(port))
    print(json.dumps(transport.ticket), flush=True)
    answering = asyncio.create_task(answer_pings(transport))
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(cpu_s()), flush=True)
    answering.cancel()
    await transport.close()


async def answer_pings(transport: IrohTransport) -> None:
    """Send a pong for each ping."""
    while True:
        for event in await transport.receive(60.0):
            if isinstance(event, Received):
                ping = decode(event.data)
                if isinstance(ping, Ping):
                    transport.send(event.peer, encode(Pong(ping.seq, ping.clock_ms)), Lane.DATAGRAM)


class Pair:
    """This end and the process of the other one."""

    def __init__(self, transport: IrohTransport, other: subprocess.Popen[str]) -> None:
        self.transport = transport
        self.pongs = 0
        self._other = other
        self._seq = 0
        ticket = self._line()
        self.peer, addresses = parse_ticket(ticket)
        transport.dial(self.peer, addresses)
        self.receiving = asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        while True:
            for event in await self.transport.receive(60.0):
                self.pongs += isinstance(event, Received)

    def _line(self) -> Any:
        assert self._other.stdout is not None
        return json.loads(self._other.stdout.readline())

    def cpu_s(self) -> float:
        """CPU seconds of both processes."""
        assert self._other.stdin is not None
        self._other.stdin.write("\n")
        self._other.stdin.flush()
        return cpu_s() + float(self._line())

    async def ping(self, rate: float, is_over: Callable[[], bool]) -> None:
        """Send pings at this rate."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not is_over():
            self._seq += 1
            message = Ping(self._seq, 1_000 * self._seq, 0, 250, 0)
            self.transport.send(self.peer, encode(message), Lane.DATAGRAM)
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def cost(self, rate: float, seconds: float) -> tuple[float, float, int]:
        """CPU seconds, packets and answered pings of so long a time; `rate` 0: without pings."""
        loop = asyncio.get_running_loop()
        cpu, sent, pongs, until = self.cpu_s(), packets(), self.pongs, loop.time() + seconds
        if rate:
            await self.ping(rate, lambda: loop.time() >= until)
            await asyncio.sleep(0.5)
        else:
            await asyncio.sleep(seconds)
        return self.cpu_s() - cpu, packets() - sent, self.pongs - pongs


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    pairs = {"quic": await start(None), "udp": await start(0)}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in pairs}
    lost: dict[str, int] = dict.fromkeys(pairs, 0)
    loop = asyncio.get_running_loop()
    udp = pairs["udp"]
    give_up = loop.time() + READY_S
    await udp.ping(4.0, lambda: udp.transport.pings.state.udp_links == 1 or loop.time() > give_up)
    await pairs["quic"].ping(4.0, lambda: pairs["quic"].pongs > 0)
    for _ in range(options.rounds):
        for way, pair in pairs.items():
            idle_cpu, idle_packets, _ = await pair.cost(0, options.seconds)
            cpu, sent, pongs = await pair.cost(options.rate, options.seconds)
            found[way].append(((cpu - idle_cpu) / pongs * 1000, (sent - idle_packets) / pongs))
            lost[way] += round(options.rate * options.seconds) - pongs
    is_up = udp.transport.pings.state.udp_links == 1
    for pair in pairs.values():
        await stop(pair)
    return {
        way: {
            "cpu_ms": round(median(cpu for cpu, _ in rounds), 3),
            "packets": round(median(sent for _, sent in rounds), 2),
            "each_cpu_ms": [round(cpu, 3) for cpu, _ in rounds],
            "unanswered": lost[way],
        }
        for way, rounds in found.items()
    } | {"udp_was_up": is_up}


async def start(port: int | None) -> Pair:
    """Two ends that are connected."""
    seed = b"\1" * 32 if port is None else b"\3" * 32
    transport = await IrohTransport.bind(seed, ADDRESS, ping_port=port)
    command = [sys.executable, __file__, "--answer", OFF if port is None else str(port)]
    return Pair(transport, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


async def stop(pair: Pair) -> None:
    """End both ends."""
    pair.receiving.cancel()
    await pair.transport.close()
    pair._other.communicate(timeout=10)


def cpu_s() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def packets() -> int:
    """UDP packets that this namespace has sent, over IPv4 and IPv6."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    six = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(values[names.index("OutDatagrams")]) + int(six["Udp6OutDatagrams"])


if __name__ == "__main__":
    main()
