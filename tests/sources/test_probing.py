"""The look at this machine: bounded, on loopback alone, and free where there is nothing."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from live import came_true
from nodes import GOOD, Toy
from peerscope.agent import node_detection
from peerscope.sources import node as nodes
from peerscope.sources import probing
from peerscope.sources.detection import DENIED, READABLE, Candidate, LocalMachine, LocalNode, ProbeAnswer
from peerscope.sources.node import Node, NodeConfig
from peerscope.sources.probing import ANSWER_BYTES_MAX, ASK_S, NodeSearch, ask, look, snapshot

WATCHED = """
import json, sys
from peerscope.sources import probing
from peerscope.sources.detection import LocalMachine, LocalProcess

dialled = []
sys.addaudithook(lambda event, args: dialled.append(args[1]) if event == "socket.connect" else None)
sys.addaudithook(lambda event, args: dialled.append(args[0]) if event == "socket.getaddrinfo" else None)
hosts = ("0.0.0.0", "127.0.0.1", "192.0.2.1", "2001:db8::1", "::1", "::", "10.0.0.7", "169.254.1.1", "fe80::1%lo")
ports = (5001, 8384, 9051, 8332, 18081, 9091, 6800, 8080, 7373, 8500, 2379, 9001, 7650)
listening = frozenset((host, port) for host in hosts for port in ports)
names = ("ipfs", "syncthing", "tor", "bitcoind", "etcd", "serf")
processes = tuple(LocalProcess(n, name, 1, "ann", tuple(sorted(listening))[n::6]) for n, name in enumerate(names))
probing.snapshot = lambda: LocalMachine(processes=processes, listening=listening, user="ann")
probing.look()
print(json.dumps(sorted({str(one[0]) if isinstance(one, tuple) else str(one) for one in dialled})))
"""
ORDINARY = """
import time
from peerscope.sources import probing
assert probing.candidates(probing.snapshot()) is not None
probing.snapshot()
began = time.process_time()
for _ in range(20):
    probing.snapshot()
print((time.process_time() - began) / 20)
"""


@contextlib.contextmanager
def serving(answer: bytes = b"", *, endless: bool = False) -> Iterator[tuple[str, int]]:
    """A server that reads a request, sends this, and then hangs; or sends without end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = server.accept()
                    held.append(one)
                    one.sendall(answer)
                    while endless:
                        one.sendall(b"x" * 65536)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in held:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            thread.join()


def kubo(address: tuple[str, int] | str | None) -> Candidate:
    return Candidate("kubo", str(address), "kubo", address)


def test_nothing_but_loopback_is_ever_dialled() -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    dialled = set(json.loads(done.stdout))
    assert "127.0.0.1" in dialled
    assert dialled <= {"127.0.0.1", "::1"}
    refused = asyncio.run(ask(kubo(("192.0.2.1", 5001))))
    assert refused == ProbeAnswer(reason="not on loopback")


def test_hung_ports_cost_one_bounded_wait_together_and_no_cpu() -> None:
    async def all_at_once(addresses: list[tuple[str, int]]) -> list[ProbeAnswer]:
        return await asyncio.gather(*(ask(kubo(address)) for address in addresses))

    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(serving()) for _ in range(20)]
        good = stack.enter_context(serving(b"HTTP/1.0 200 OK\r\n\r\n"))
        began, cpu = time.monotonic(), time.thread_time()
        answers = asyncio.run(all_at_once([*hung, good]))
        spent_s, cpu_s = time.monotonic() - began, time.thread_time() - cpu
    assert {answer.reason for answer in answers[:-1]} == {f"it has not answered for {ASK_S:g} s"}
    assert answers[-1].data == b"HTTP/1.0 200 OK\r\n\r\n"
    assert spent_s < 20 * ASK_S / 2  # one after the other they would take 20 s
    assert cpu_s < 0.5


def test_an_endless_answer_is_cut() -> None:
    with serving(b"HTTP/1.0 200 OK\r\n\r\n", endless=True) as address:
        answer = asyncio.run(ask(kubo(address)))
    assert ANSWER_BYTES_MAX <= len(answer.data) <= ANSWER_BYTES_MAX + 2 * 65536


def test_a_socket_that_is_not_there_or_may_not_be_opened_is_told_apart(tmp_path: Path) -> None:
    assert asyncio.run(ask(kubo(str(tmp_path / "none.sock")))).is_absent
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(tmp_path / "left.sock"))
    assert asyncio.run(ask(kubo(str(tmp_path / "left.sock")))).is_absent
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()
    assert asyncio.run(ask(kubo(free))).is_absent


def test_a_missing_right_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def refused(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio, "open_unix_connection", refused)
    assert asyncio.run(ask(kubo(str(tmp_path / "admin.sock")))).reason == DENIED


def test_a_machine_without_a_node_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> object:
        raise AssertionError("nothing is there to ask")

    ordinary = LocalMachine(listening=frozenset({("0.0.0.0", 22)}), notes=("a note",))
    monkeypatch.setattr(probing, "snapshot", lambda: ordinary)
    monkeypatch.setattr(probing, "with_sources", never)
    monkeypatch.setattr(asyncio, "run", never)
    assert look() == NodeSearch((), ("a note",))


def test_a_look_at_this_machine_costs_next_to_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", ORDINARY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0  # seconds of CPU for a look, every ten minutes; measured: 0.02 with 130 processes


def test_the_snapshot_sees_the_processes_and_sockets_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ipfs"
    program.symlink_to(sys.executable)
    code = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
    listener = [str(program), "-c", code + "sys.stdin.read()"]
    home = os.environ | {"PYTHONHOME": sys.base_prefix}
    with subprocess.Popen(listener, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=home) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        with socket.create_server(("127.0.0.1", 0)) as ours:
            seen = snapshot()
            assert ours.getsockname() in seen.own
        process.stdin.close()
    (found,) = [one for one in seen.processes if one.pid == process.pid]
    assert (found.name, found.listens, found.parent) == ("ipfs", (("127.0.0.1", port),), os.getpid())
    if seen.listening is not None:
        assert ("127.0.0.1", port) in seen.listening


def test_a_container_and_hidden_sockets_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    hidden = probing.LocalProcess(7, "tor", 1, "debian-tor")
    notes = list(probing._notes((hidden,)))
    assert any("container" in note for note in notes)
    assert any("sockets of tor belong to other users" in note for note in notes)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> dict[str, Toy]:
    """Sources by spec."""
    made: dict[str, Toy] = {}
    monkeypatch.setattr(nodes, "make_source", lambda spec: made.setdefault(spec, Toy(lambda: GOOD)))
    return made


def found(monkeypatch: pytest.MonkeyPatch, *specs: str) -> None:
    """Let the next looks find these."""
    seen = tuple(LocalNode(spec, "127.0.0.1:1", 7, spec, READABLE) for spec in specs)
    monkeypatch.setattr(probing, "look", lambda: NodeSearch(seen, ()))


def test_the_first_program_is_attached_and_logged_with_the_others(
    toys: dict[str, Toy], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        node = Node(NodeConfig(), 0.02, Random(0))
        running = asyncio.create_task(node.run())
        await node_detection.attach_found(node)
        assert node.name is None
        found(monkeypatch, "toy", "other")
        await node_detection.attach_found(node)
        await came_true(lambda: node.current() is not None, "it is read")
        assert [one.source for one in node.view().sources] == ["toy"]
        await node_detection.attach_found(node)  # nothing changes what is attached
        assert "other" not in toys
        node.telemetry.gauge("tunnels", 5)
        await came_true(lambda: toys["toy"].closed.is_set(), "the node speaks for itself")
        assert [one.source for one in node.view().sources] == ["telemetry"]
        await came_true(lambda: node.current() is not None, "telemetry is read")
        assert (node.node_id, node.current().metrics.tunnels) == (None, 5)  # nothing of the other program stays
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    monkeypatch.setattr(probing, "look", lambda: NodeSearch((), ()))
    with caplog.at_level("INFO"):
        asyncio.run(scenario())
    (line,) = [record.getMessage() for record in caplog.records if "attached" in record.getMessage()]
    assert line == "found toy at 127.0.0.1:1 and attached it as toy; also found: other; node.sources chooses another"


def test_it_looks_again_while_nothing_is_attached_and_survives_a_look_that_fails(
    toys: dict[str, Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([NodeSearch((), ()), OSError("no file descriptors"), None])

    def flaky() -> NodeSearch:
        one = next(looks)
        if isinstance(one, OSError):
            raise one
        return one or NodeSearch((LocalNode("toy", "", 7, "toy", READABLE),), ())

    async def scenario() -> None:
        from peerscope.host.failures import FailureLog

        node = Node(NodeConfig(), 0.02, Random(0))
        failures = FailureLog()
        looking = asyncio.create_task(failures.going("detection", lambda: node_detection.keep_looking(node)))
        await came_true(lambda: node.name == "toy", "it is attached in the end")
        assert failures.failures == {"detection": 1}
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    monkeypatch.setattr(node_detection, "PAUSES_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(probing, "look", flaky)
    asyncio.run(scenario())
