"""What systemd hears: a real socket, as systemd makes one."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from peerscope.host.systemd import Systemd


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        address = str(tmp_path / "notify")
        channel.bind(address)
        channel.settimeout(10)
        yield channel, address


def heard(channel: socket.socket) -> dict[str, str]:
    lines = channel.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_it_hears_when_the_service_is_ready_reloads_and_leaves(listening: tuple[socket.socket, str]) -> None:
    channel, address = listening
    systemd = Systemd({"NOTIFY_SOCKET": address})
    systemd.ready("three peers\nknown")
    assert heard(channel) == {"READY": "1", "STATUS": "three peers known", "MAINPID": str(os.getpid())}
    systemd.reloading()
    told = heard(channel)
    assert told["RELOADING"] == "1"
    assert int(told["MONOTONIC_USEC"]) > 0
    systemd.stopping()
    assert heard(channel)["STOPPING"] == "1"


def test_a_socket_in_linux_abstract_names_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("")  # the kernel chooses an abstract name
        address = channel.getsockname()
        if not isinstance(address, bytes):
            pytest.skip("no abstract socket names on this system")
        channel.settimeout(10)
        Systemd({"NOTIFY_SOCKET": "@" + address[1:].decode()}).status("here")
        assert heard(channel) == {"STATUS": "here"}


def test_the_watchdog_is_fed_twice_as_often_as_it_bites(listening: tuple[socket.socket, str]) -> None:
    channel, address = listening
    systemd = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000"})
    assert systemd.watchdog_s == 0.02

    async def live() -> None:
        alive = asyncio.create_task(systemd.keep_alive(lambda: "well"))
        for _ in range(2):
            assert await asyncio.to_thread(heard, channel) == {"WATCHDOG": "1", "STATUS": "well"}
        alive.cancel()

    asyncio.run(live())


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}])
def test_without_a_watchdog_there_is_no_time(environment: dict[str, str]) -> None:
    assert Systemd(environment).watchdog_s is None


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    assert Systemd({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)}).watchdog_s is None
    assert Systemd({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 1.0


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_nobody_listening_is_no_trouble(address: str) -> None:
    Systemd({"NOTIFY_SOCKET": address}).ready("alone")
