"""The log: one line a record, no secrets, no floods."""

import io
import json
import linecache
import logging
from collections.abc import Iterator

import pytest

from peerscope.host.logs import BURST, HIDDEN, TEMPLATES_MAX, WINDOW_S, Journal, Lines, LogConfig, configure, secrets_in

SECRET = "0123456789abcdef"


def record(message: str, *values: object, at: float = 0.0, level: int = logging.WARNING) -> logging.LogRecord:
    one = logging.LogRecord("peerscope.test", level, __file__, 1, message, values, None)
    one.created = at
    return one


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def journal(written: io.StringIO) -> Journal:
    made = Journal(written)
    made.setFormatter(Lines([SECRET], as_json=False))
    return made


@pytest.fixture
def untouched_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_has_the_time_the_level_and_the_message() -> None:
    assert Lines([], as_json=False).format(record("%d peers", 3)) == "1970-01-01T00:00:00.000Z warning: 3 peers"


def test_json_is_one_object_a_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        one = record("went %s", "wrong\nhere")
        one.exc_info = (type(error), error, error.__traceback__)
    text = Lines([], as_json=True).format(one)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "peerscope.test", "went wrong\nhere")
    assert line["exception"].endswith("ValueError: two\nlines")
    assert __file__ not in linecache.cache  # sources that a traceback shows do not stay in memory


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "told",
    [
        f"the secret is {SECRET}",
        f"Authorization: Bearer {SECRET}x",
        "Authorization: Bearer another-token",
        "GET /dashboard?token=another-token HTTP/1.1",
        "http://user:another-token@example.org/write",
    ],
)
def test_secrets_are_hidden_ours_and_those_in_headers_and_addresses(told: str, as_json: bool) -> None:
    text = Lines([SECRET], as_json=as_json).format(record(told))
    assert HIDDEN in text
    assert SECRET not in text
    assert "another-token" not in text


@pytest.mark.parametrize(
    "told",
    [
        "source transmission:http://127.0.0.1:9091: it wants credentials",
        "http://127.0.0.1:9091/rpc answers 401: it wants credentials; write to me@example.org",
        "http://[::1]:80 and http://h:80/a@b and https://h.example:443, m@n and ws://h:1",
    ],
)
def test_addresses_and_ports_are_shown(told: str) -> None:
    assert told in Lines([], as_json=False).format(record(told))


@pytest.mark.parametrize("password", ["another", "12345", "p@another", "8080another", "a/b?c#d", "1:2"])
def test_the_password_of_an_address_is_hidden(password: str) -> None:
    text = Lines([], as_json=False).format(record(f"at http://user:{password}@h.example:80/a"))
    assert text.endswith(f"at http://user:{HIDDEN}@h.example:80/a")


def test_secrets_are_hidden_in_values_and_tracebacks() -> None:
    try:
        raise ValueError(f"bad {SECRET}")
    except ValueError as error:
        one = record("with %r", {"secret": SECRET})
        one.exc_info = (type(error), error, error.__traceback__)
    assert SECRET not in Lines([SECRET], as_json=False).format(one)
    assert SECRET not in Lines([SECRET], as_json=True).format(one)


def test_a_message_of_others_cannot_look_like_a_line_of_ours() -> None:
    text = Lines([], as_json=False).format(record("peer says %s", "x\n2026-01-01 error: forged\x1b[31m"))
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


def test_every_setting_that_is_a_secret_is_found_by_its_name() -> None:
    settings = {"network": {"secret": "aaaaa", "name": "open"}, "web": {"token": "bbbbbb"}, "x": {"y_password": "ccc"}}
    assert secrets_in(settings) == ["bbbbbb", "aaaaa"]  # three characters would hide half the log


def test_a_flood_is_cut_off_and_counted(journal: Journal, written: io.StringIO) -> None:
    for number in range(BURST + 7):
        journal.emit(record("peer %d floods", number, at=1.0))
    journal.emit(record("something else", at=2.0))
    lines = written.getvalue().splitlines()
    assert len(lines) == BURST + 1
    assert lines[-1].endswith("something else")
    journal.emit(record("later", at=1.0 + WINDOW_S))
    counted, later = written.getvalue().splitlines()[-2:]
    assert counted.endswith(f"peer {BURST + 6} floods (6 more like this were left out)")
    assert later.endswith("later")


def test_after_its_time_a_template_is_told_again(journal: Journal, written: io.StringIO) -> None:
    for at in range(1000):
        journal.emit(record("again", at=at * WINDOW_S / BURST))
    assert len(written.getvalue().splitlines()) == 1000


def test_the_end_tells_what_was_left_out(journal: Journal, written: io.StringIO) -> None:
    for _ in range(BURST + 3):
        journal.emit(record("again"))
    journal.close()
    assert written.getvalue().splitlines()[-1].endswith("again (2 more like this were left out)")


def test_a_clock_that_is_set_back_silences_nothing_for_long(journal: Journal, written: io.StringIO) -> None:
    for _ in range(BURST + 1):
        journal.emit(record("again", at=1e9))
    journal.emit(record("again", at=0.0))
    assert len(written.getvalue().splitlines()) == BURST + 2


def test_templates_without_number_do_not_fill_the_memory(journal: Journal) -> None:
    for number in range(2 * TEMPLATES_MAX):
        journal.emit(record(f"no template {number}"))
    assert len(journal._windows) <= TEMPLATES_MAX


@pytest.mark.usefixtures("untouched_root")
def test_configured_twice_everything_is_said_once(written: io.StringIO) -> None:
    configure(LogConfig(), [], written)
    configure(LogConfig(level="error", format="json"), [SECRET], written)
    logging.getLogger("peerscope.x").warning("not grave enough")
    logging.getLogger("peerscope.x").error("a %s", SECRET)
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["message"] == f"a {HIDDEN}"
