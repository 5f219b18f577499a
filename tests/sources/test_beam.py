"""Beam: its log lines as the daemon writes them, the log's ups and downs, and a real process that goes by its name."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import SourceError
from peerscope.sources.programs import beam
from peerscope.sources.programs.beam import LINE_BYTES_MAX, BeamSource, LogFile, Request, parse

SAMPLE = Path(__file__).parent / "beam.log"
DATED = "2026-01-05T10:00:02.345678Z  INFO beam_tunnel_daemon::tunnel: "
GOOD = "← GET /index.html 200 12.5ms (1.50 KB)"

DAEMON_SCRIPT = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
other, _ = server.accept()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
log = open(sys.argv[1], "a", encoding="utf-8")
print("ready", flush=True)
for line in sys.stdin:
    log.write(line)
    log.flush()
    print("written", flush=True)
"""


class Daemon:
    """A process of the daemon's name that listens, has a connection, and logs what it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def logs(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "written\n"


@pytest.fixture(autouse=True)
def own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons of other test runs on this machine are not ours."""
    monkeypatch.setattr(beam, "DAEMON", f"{beam.DAEMON}-{os.getpid()}")


@contextlib.contextmanager
def daemon(place: Path) -> Iterator[Daemon]:
    program = place / beam.DAEMON
    if not program.exists():
        program.symlink_to(os.path.realpath(sys.executable))
    command = [str(program), "-S", "-c", DAEMON_SCRIPT, str(place / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Daemon(process)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GOOD, Request(False, 0.0125, 1536)),
        ("<- GET / 200 12.5ms (0 B)", Request(False, 0.0125, 0)),
        (DATED + GOOD, Request(False, 0.0125, 1536)),
        (
            "\x1b[2m2026-01-05T10:00:02Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mbeam\x1b[0m: " + GOOD,
            Request(False, 0.0125, 1536),
        ),
        ("← POST /api/hook?x=1 201 950µs (2.00 MB)", Request(False, 950e-6, 2 * 1024**2)),
        ("← GET / 304 1.2s", Request(False, 1.2, None)),
        ("← GET /missing 404 831.201µs", Request(True, 831.201e-6, None)),
        ("← GET / 502 3ns", Request(True, 3e-9, None)),
        ("← GET / ERROR 1.5ms", Request(True, 1.5e-3, None)),
        (GOOD + "\r", Request(False, 0.0125, 1536)),
        ("→ GET / from 127.0.0.1:5000 (context: LocalBrowser, UA: None)", None),
        ("← GET / 200", None),
        ("← GET / 200 fast (1 B)", None),
        ("← get / 200 1ms (1 B)", None),
        ("HTTP: http://127.0.0.1:4000 → localhost:3000", None),
        ("", None),
    ],
)
def test_request_lines_are_read_as_the_daemon_writes_them(line: str, expected: Request | None) -> None:
    found = parse(line)
    if expected is None or found is None:
        assert found is expected
    else:
        assert (found.is_error, found.size_bytes) == (expected.is_error, expected.size_bytes)
        assert found.elapsed_s == pytest.approx(expected.elapsed_s)


@given(st.text(max_size=300))
def test_any_other_line_is_simply_none_of_ours(text: str) -> None:
    found = parse(text)
    assert found is None or found.elapsed_s >= 0


def test_a_sample_log_has_the_requests_that_a_reader_counts() -> None:
    requests = [request for line in SAMPLE.read_text(encoding="utf-8").splitlines() if (request := parse(line))]
    assert len(requests) == 7
    assert sum(request.is_error for request in requests) == 3
    assert sum(request.size_bytes or 0 for request in requests) == 512 + 1536 + 13


def test_a_running_daemon_is_measured_from_outside(tmp_path: Path) -> None:
    async def scenario() -> None:
        with daemon(tmp_path) as process:
            process.logs(DATED + "← GET /before 200 1ms (1 B)")  # before we looked
            source = BeamSource(str(tmp_path / "log"))
            first = await source.read()
            assert (first.node, first.latency_s) == ("beam", None)
            assert (first.metrics.tunnels, first.metrics.active_connections) == (1, 2)
            assert (first.metrics.messages, first.metrics.received_bytes, first.metrics.p2p_peers) == (0, None, None)
            assert (first.details["processes"], first.details["udp_sockets"]) == (1.0, 1.0)
            assert first.details["memory_bytes"] > 1e6
            process.logs(DATED + GOOD)
            process.logs(DATED + "← GET / 500 7.5ms")
            process.logs(DATED + "TLS handshake error: eof")
            second = await source.read()
            assert (second.metrics.messages, second.metrics.errors, second.metrics.sent_bytes) == (2, 1, 1536)
            assert second.latency_s == pytest.approx(0.010)
            assert second.details["other_log_lines"] == 1.0
            quiet = await source.read()
            assert quiet.latency_s == second.latency_s  # the last known one
            assert (quiet.latency_age_s or 0) > 0
        with pytest.raises(SourceError, match=r"no process called beam-tunnel-daemon-\d+ runs"):
            await source.read()
        with daemon(tmp_path) as process:
            process.logs(DATED + GOOD)
            assert (await source.read()).metrics.messages == 3
        await source.close()

    asyncio.run(scenario())


def test_without_a_log_only_the_process_is_known(tmp_path: Path) -> None:
    with daemon(tmp_path):
        reading = asyncio.run(BeamSource().read())
    assert reading.metrics.tunnels == 1
    assert (reading.metrics.messages, reading.metrics.errors, reading.latency_s) == (None, None, None)


def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    with daemon(tmp_path), pytest.raises(SourceError, match="cannot be read: No such file"):
        asyncio.run(BeamSource(str(tmp_path / "nothing")).read())


class Writer:
    """A log being written, and one that follows it."""

    def __init__(self, place: Path) -> None:
        self.path = place / "log"
        self.path.write_bytes(b"old\n")
        self.follower = LogFile(self.path)
        assert self.read() == []

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def read(self) -> list[bytes]:
        return list(self.follower.lines())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.follower.close()


def test_only_whole_new_lines_are_given(log: Writer) -> None:
    log.write(b"one\ntw")
    assert log.read() == [b"one"]
    log.write(b"o\n")
    assert log.read() == [b"two"]
    assert log.read() == []


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(log: Writer) -> None:
    log.write(b"one\n")
    assert log.read() == [b"one"]
    log.write(b"two\n")
    log.path.rename(log.path.with_suffix(".1"))
    assert log.read() == [b"two"]  # between the two files there is none
    log.write(b"three\n")
    assert log.read() == [b"three"]


def test_a_truncated_log_is_read_from_its_beginning(log: Writer) -> None:
    log.write(b"one and a long line\n")
    assert log.read() == [b"one and a long line"]
    log.path.write_bytes(b"two\n")
    assert log.read() == [b"two"]


def test_a_line_of_any_length_costs_little_and_the_next_one_is_read(log: Writer) -> None:
    for _ in range(3):
        log.write(b"x" * LINE_BYTES_MAX)
        assert log.read() == []
        assert len(log.follower._begun) <= LINE_BYTES_MAX
    log.write(b"\nnext\n")
    assert log.read() == [b"next"]
    assert log.follower.oversized == 1


def test_a_large_backlog_is_read_in_portions(log: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam, "LOOK_BYTES_MAX", 10)
    log.write(b"".join(b"%04d\n" % number for number in range(5)))
    assert [log.read() for _ in range(3)] == [[b"0000", b"0001"], [b"0002", b"0003"], [b"0004"]]


@given(chunks=st.lists(st.binary(max_size=40), max_size=20))
def test_lines_come_out_as_they_went_in(chunks: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    writer = Writer(tmp_path_factory.mktemp("log"))
    found: list[bytes] = []
    for chunk in chunks:
        writer.write(chunk)
        found += writer.read()
    writer.follower.close()
    assert found == b"".join(chunks).split(b"\n")[:-1]


def test_a_daemon_whose_sockets_are_secret_has_unknown_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam, "_sockets", lambda _: None)
    with daemon(tmp_path):
        metrics = asyncio.run(BeamSource().read()).metrics
    assert (metrics.tunnels, metrics.active_connections) == (None, None)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=40))
def test_no_character_of_another_line_changes_what_is_counted(text: str) -> None:
    before = "INFO ← GET /a 200 5ms (10 B)"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.touch()
        log = LogFile(path)
        list(log.lines())
        path.write_text(f"{before}\nagent {text}\n{before}\n", encoding="utf-8", newline="")
        lines = [line.decode() for line in log.lines()]
        log.close()
    assert lines == [before, f"agent {text}", before]
