"""How a receiver's answers are read, what a request carries, and where secrets may not appear."""

import logging
import time
from base64 import b64encode
from email.utils import formatdate
from pathlib import Path

import pytest

from peerscope.errors import ConfigError
from peerscope.export import receiver as receiver_module
from peerscope.export.config import RemoteWriteConfig
from peerscope.export.receiver import (
    RETRY_AFTER_S_MAX,
    Later,
    Outcome,
    RefusedSamples,
    RemoteWriteReceiver,
    Taken,
    authorization,
    outcome,
    wait_s,
    words,
)
from receivers import Asked, receiving

WALL = 1_700_000_000.0


def secret_file(place: Path, text: str | bytes = "s3cret-value\n", mode: int = 0o600) -> str:
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    place.chmod(mode)
    return str(place)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_a_request_is_taken(status: int) -> None:
    assert outcome(status, "5", b"", WALL) == Taken()


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 415, 429, 500, 502, 503, 504, 599])
def test_what_does_not_condemn_the_samples_is_tried_again(status: int) -> None:
    is_fault = status == 500
    assert outcome(status, None, b"", WALL) == Later(f"it answers {status}", str(status), is_fault=is_fault)
    busy = Later(f"it answers {status}: busy", f"{status}: busy", 7, is_fault)
    assert outcome(status, "7", b"busy\nstack trace", WALL) == busy


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_condemns_the_samples_would_be_the_same_again(status: int) -> None:
    said = f"{status}: out of order sample"
    assert outcome(status, "7", b"out of order sample\n", WALL) == RefusedSamples(f"it answers {said}", said)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("400: out of order sample", "400: out of order sample"),
        ('400: series foo{a="b", c="1"} at 17:03 is too old', "400: series foo* at * is too old"),
        (
            '400: remoteAddr: "127.0.0.1:44114"; requestURI: /x; unsupported',
            "400: remoteAddr: *; requestURI: /x; unsupported",
        ),
        ("500: request 4f2a of 'me' failed", "500: request * of * failed"),
        ("500" + "x" * 500, "500" + "x" * 77),
    ],
)
def test_the_same_answer_to_other_samples_has_the_same_words(text: str, same: str) -> None:
    assert words(text) == same


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("999999999999", RETRY_AFTER_S_MAX),
        ("9" * 400, RETRY_AFTER_S_MAX),
        (formatdate(WALL + 90, usegmt=True), 90),
        (formatdate(WALL - 90, usegmt=True), 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("Wed, 99 Foo 2099 99:99:99 GMT", 0),
        ("", 0),
    ],
)
def test_how_long_it_wants_to_be_left_alone(header: str | None, seconds: float) -> None:
    assert wait_s(header, WALL) == pytest.approx(seconds)


def test_what_it_says_is_cut_and_made_plain() -> None:
    found = outcome(400, None, b"\x1b[31m" + b"x" * 500, WALL)
    assert isinstance(found, RefusedSamples)
    assert found.reason.isprintable()
    assert len(found.reason) < 250


def sent(asked_of: str, body: bytes = b"body", **config: object) -> Outcome:
    return RemoteWriteReceiver(RemoteWriteConfig(url=f"{asked_of}/api/v1/write", **config)).send(body)  # type: ignore[arg-type]


def test_a_request_says_what_it_is_and_carries_the_operators_headers() -> None:
    with receiving() as store:
        assert sent(store.url, headers={"X-Scope-OrgID": "tenant-1"}) == Taken()
    (asked,) = store.asked
    assert (asked.path, asked.body) == ("/api/v1/write", b"body")
    assert asked.headers["content-encoding"] == "snappy"
    assert asked.headers["content-type"] == "application/x-protobuf"
    assert asked.headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert asked.headers["x-scope-orgid"] == "tenant-1"
    assert asked.headers["user-agent"].startswith("peerscope/")
    assert "authorization" not in asked.headers


def test_one_connection_serves_many_requests() -> None:
    with receiving() as store:
        receiver = RemoteWriteReceiver(RemoteWriteConfig(url=store.url))
        assert [receiver.send(b"x") for _ in range(5)] == [Taken()] * 5
    assert len({asked.port for asked in store.asked}) == 1


def test_secrets_come_from_files_and_are_read_again(tmp_path: Path) -> None:
    token = secret_file(tmp_path / "token", "first\n")
    password = secret_file(tmp_path / "password", "pässword with : and  two spaces \n")
    with receiving() as store:
        receiver = RemoteWriteReceiver(RemoteWriteConfig(url=store.url, bearer_token_file=token))
        receiver.send(b"x")
        secret_file(tmp_path / "token", "second\n")
        receiver.send(b"x")
        sent(store.url, username="me", password_file=password)
    bearers = [asked.headers["authorization"] for asked in store.asked]
    assert bearers[:2] == ["Bearer first", "Bearer second"]
    assert bearers[2] == "Basic " + b64encode("me:pässword with : and  two spaces ".encode()).decode()


def test_a_secret_that_is_just_being_replaced_is_waited_for(tmp_path: Path) -> None:
    token = secret_file(tmp_path / "token")
    with receiving() as store:
        receiver = RemoteWriteReceiver(RemoteWriteConfig(url=store.url, bearer_token_file=token))
        (tmp_path / "token").unlink()
        found = receiver.send(b"x")
    assert isinstance(found, Later)
    assert "cannot be read" in found.reason
    assert store.asked == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_secret_that_others_can_read_is_refused_at_the_start(tmp_path: Path, mode: int) -> None:
    token = secret_file(tmp_path / "token", mode=mode)
    with pytest.raises(ConfigError, match=f"can be read by others .*chmod 600 {token}") as caught:
        RemoteWriteReceiver(RemoteWriteConfig(url="http://127.0.0.1:1", bearer_token_file=token))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"\n", b"two\nlines\n", b"bell\7", b"\xff\xfe", b"x" * 20_000])
def test_what_is_no_line_of_text_is_no_secret(tmp_path: Path, text: bytes) -> None:
    config = RemoteWriteConfig(bearer_token_file=secret_file(tmp_path / "token", text))
    with pytest.raises(ConfigError, match="holds no secret"):
        authorization(config)


def test_a_bearer_token_that_no_header_can_carry_is_refused(tmp_path: Path) -> None:
    config = RemoteWriteConfig(bearer_token_file=secret_file(tmp_path / "token", "tökén"))
    with pytest.raises(ConfigError, match="holds no ASCII text"):
        authorization(config)


def test_a_redirect_is_not_followed_and_the_secret_not_shown_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = secret_file(tmp_path / "token")
    with receiving() as elsewhere, receiving(lambda _: (307, {"location": elsewhere.url})) as store:
        found = sent(store.url, bearer_token_file=token)
    assert found == Later("it answers 307", "307")
    assert len(store.asked) == 1
    assert elsewhere.asked == []
    assert "s3cret" not in caplog.text


def test_nobody_there_is_tried_again() -> None:
    with receiving() as store:
        pass
    found = sent(store.url)
    assert isinstance(found, Later)
    assert "refused" in found.reason.lower()


def test_a_receiver_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "CONNECT_S", 0.5)

    def silent(_: Asked) -> tuple[int, dict[str, str]]:
        time.sleep(1.5)
        return 204, {}

    with receiving(silent) as store:
        found = sent(store.url, timeout_s=1.0)
    assert isinstance(found, Later)
    assert "timed out" in found.reason


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with receiving(lambda _: (400, {"says": "no\n" + "x" * 3_000_000})) as store:
        assert sent(store.url) == RefusedSamples("it answers 400: no", "400: no")
