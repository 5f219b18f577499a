"""A throw-away network: one network namespace per agent, joined by a bridge in a namespace of its own.

Needs root, Linux with veth, bridge and cls_bpf, and the programs `ip` and `tc`. Nothing is added to the host's own
interfaces, and there is no way out: no default route, IPv6 off, only the bridge among the namespaces.

The namespaces have no names. They live as long as something holds them open, which is this process and what it starts
inside; so the kernel removes them when those are gone, even after `kill -9`.

Loss is a two-line BPF program on the bridge's side of the cable, out of the sender's sight: it gets no error. It takes
each packet by itself: segmentation offload is off, so a large send is lost, and counted, as the packets of a wire.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
HOSTS_MAX = 200 * 250

# Classic BPF: load a random word; from the threshold on (53: jump if greater or equal) pass on (-1), else drop (2).
LOSE = "4,32 0 0 4294963256,53 1 0 {threshold},6 0 0 2,6 0 0 4294967295"


def refusal() -> str | None:
    """Why namespaces cannot be had here, or None if they can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [program for program in ("ip", "tc") if shutil.which(program) is None]
    if missing:
        return f"network namespaces need the programs {' and '.join(missing)} (iproute2)"
    try:
        with Network(2) as network:
            network.lose(0.5)
            network.lose(0.0)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces do not work here: {' '.join((getattr(error, 'stderr', '') or str(error)).split())}"
    return None


class Network:
    """`count` namespaces on one bridge. Use it as a context manager, or `close` it."""

    def __init__(self, count: int) -> None:
        """Make them all; takes a few milliseconds each."""
        if not 1 <= count <= HOSTS_MAX:
            raise ValueError(f"{count} namespaces; must be 1 to {HOSTS_MAX}")
        self.count = count
        self._home: int | None = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._hosts: list[int] = []
        self._bridge: int | None = None
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all namespaces; end what runs inside first. Safe to call twice."""
        for handle in (*self._hosts, self._bridge, self._home):
            if handle is not None:
                os.close(handle)
        self._hosts, self._bridge, self._home = [], None, None

    @staticmethod
    def address(index: int) -> str:
        """IPv4 address of one host."""
        return f"10.66.{index // 250}.{index % 250 + 1}"

    @contextlib.contextmanager
    def inside(self, index: int) -> Iterator[None]:
        """This thread, and every process that it starts, is inside one host's namespace for the block."""
        with self._entered(self._hosts[index]):
            yield

    def lose(self, ratio: float) -> None:
        """Each packet between two hosts is lost with this probability, in either direction. 0 ends it."""
        every = range(self.count)
        if self._is_losing():
            self._bridge_batch("tc", [f"filter del dev p{i} ingress pref 1" for i in every])
        if ratio > 0:
            code = LOSE.format(threshold=round(ratio * (2**32 - 1)))
            filters = f"ingress pref 1 protocol all bpf da bytecode '{code}'"
            self._bridge_batch("tc", [f"filter add dev p{i} {filters}" for i in every])

    def lost(self) -> int:
        """Packets dropped by `lose` so far."""
        found = self._bridge_json("tc", "-s", "-j", "qdisc", "show")
        return sum(queue.get("drops", 0) for queue in found if queue["kind"] == "clsact")

    def sent(self) -> list[tuple[int, int]]:
        """Bytes, Ethernet headers included, and packets that each host has sent so far, lost ones included."""
        assert self._bridge is not None
        with self._entered(self._bridge), open("/proc/thread-self/net/dev", encoding="ascii") as file:
            rows = (line.split() for line in list(file)[2:])
            received = {row[0].rstrip(":"): (int(row[1]), int(row[2])) for row in rows}  # by the bridge's port
        return [received[f"p{i}"] for i in range(self.count)]

    # -- inside ----------------------------------------------------------------------------------

    def _make(self) -> None:
        self._bridge = self._fresh()
        self._hosts = [self._fresh() for _ in range(self.count)]
        self._bridge_batch("ip", ["link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"])
        cables = ["link set br0 up"]
        for i, handle in enumerate(self._hosts):
            there = f"netns /proc/{os.getpid()}/fd/{handle}"
            cables.append(f"link add p{i} type veth peer name eth0 address {_mac(i)} {there}")
            cables.append(f"link set p{i} master br0 up")
        self._bridge_batch("ip", cables)
        self._bridge_batch("tc", [f"qdisc add dev p{i} clsact" for i in range(self.count)])
        # Who has which address is written down beforehand: the machine's one neighbour table would overflow.
        others = [f"neigh replace {self.address(i)} lladdr {_mac(i)} dev eth0 nud permanent" for i in range(self.count)]
        for i, handle in enumerate(self._hosts):
            own = ["link set lo up", "link set dev eth0 gso_max_segs 1", f"addr add {self.address(i)}/16 dev eth0"]
            with self._entered(handle):
                _batch("ip", [*own, "link set eth0 up", *others[:i], *others[i + 1 :]])

    def _fresh(self) -> int:
        """A new namespace without IPv6, as an open file."""
        _check(_libc().unshare(CLONE_NEWNET))
        try:
            handle = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            for scope in ("all", "default"):
                with contextlib.suppress(OSError):  # a kernel without IPv6
                    with open(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "w", encoding="ascii") as file:
                        file.write("1")
            return handle
        finally:
            self._go(self._home)

    @contextlib.contextmanager
    def _entered(self, handle: int) -> Iterator[None]:
        self._go(handle)
        try:
            yield
        finally:
            self._go(self._home)

    def _go(self, handle: int | None) -> None:
        _check(_libc().setns(handle, CLONE_NEWNET))

    def _is_losing(self) -> bool:
        return bool(self._bridge_json("tc", "-j", "filter", "show", "dev", "p0", "ingress"))

    def _bridge_batch(self, program: str, lines: Sequence[str]) -> None:
        assert self._bridge is not None
        with self._entered(self._bridge):
            _batch(program, lines)

    def _bridge_json(self, *command: str) -> Any:
        assert self._bridge is not None
        with self._entered(self._bridge):
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return json.loads(found or "[]")


def _batch(program: str, lines: Sequence[str]) -> None:
    """One call of `ip` or `tc` for many commands."""
    subprocess.run([program, "-batch", "-"], input="\n".join(lines), text=True, capture_output=True, check=True)


def _mac(index: int) -> str:
    """A locally administered hardware address."""
    return f"02:00:0a:42:{index // 250:02x}:{index % 250 + 1:02x}"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)  # os.setns and os.unshare come with Python 3.12


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
