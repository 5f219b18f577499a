"""Guessing the token: ten tries, then hardly any; and nobody else is kept out."""

from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from live import client, running
from peerscope.web.guard import ADDRESSES_MAX, FORGIVEN_AFTER_S, TRIES, Lockout

TOKEN = "0123456789abcdef"


def locked(address: str = "192.0.2.1", now: float = 0.0) -> Lockout:
    lockout = Lockout()
    for _ in range(TRIES):
        assert lockout.wait_s(address, now) == 0
        lockout.failed(address, now)
    return lockout


def test_after_ten_mistakes_one_more_try_comes_every_few_seconds() -> None:
    lockout = locked()
    assert lockout.wait_s("192.0.2.1", 0.0) == FORGIVEN_AFTER_S
    tries = 0
    for second in range(600):
        if not lockout.wait_s("192.0.2.1", second):
            lockout.failed("192.0.2.1", second)
            tries += 1
    assert tries == pytest.approx(600 / FORGIVEN_AFTER_S, abs=1)


def test_mistakes_are_forgiven() -> None:
    assert locked().wait_s("192.0.2.1", TRIES * FORGIVEN_AFTER_S) == 0


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("", "192.0.2.1", False),
        ("unix", "unix", True),
    ],
)
def test_who_has_many_addresses_is_one_and_the_others_are_left_alone(one: str, other: str, are_one: bool) -> None:
    assert (locked(one).wait_s(other, 0.0) > 0) is are_one


def test_only_so_many_addresses_are_remembered_the_worst_ones() -> None:
    lockout = locked("192.0.2.1")
    for number in range(3 * ADDRESSES_MAX):
        lockout.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1.0)
        assert len(lockout) <= ADDRESSES_MAX
    assert lockout.wait_s("192.0.2.1", 1.0) > 0
    lockout.failed("198.51.100.1", 1000.0)
    assert len(lockout) == 1


def test_a_guesser_is_told_to_wait_also_where_the_guess_is_right(tmp_path: Path) -> None:
    def ask(asking: httpx.Client, token: str | None, **headers: str) -> httpx.Response:
        proof = {"authorization": f"Bearer {token}"} if token else {}
        return asking.get("/api/v1/self", headers=proof | headers)

    with running(tmp_path, web={"token": TOKEN}) as agent, client(agent) as asking:
        for number in range(TRIES):
            assert ask(asking, TOKEN).status_code == 200
            assert ask(asking, f"guess number {number}").status_code == 401
        for token in ("one more guess", TOKEN):
            # To claim to be somebody else does not help.
            answer = ask(asking, token, **{"x-forwarded-for": "198.51.100.7"})
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= FORGIVEN_AFTER_S
            assert answer.headers["content-type"] == "application/problem+json"
            assert "content-security-policy" in answer.headers
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws{agent.http.removeprefix('http')}/dashboard?token={TOKEN}", proxy=None)
        assert refused.value.response.status_code == 429
        assert "retry-after" in refused.value.response.headers
        assert ask(asking, None).status_code == 401
        assert asking.get("/").status_code == asking.get("/healthz").status_code == 200


def test_the_feed_is_no_way_around(tmp_path: Path) -> None:
    with running(tmp_path, web={"token": TOKEN}) as agent, client(agent) as asking:
        for number in range(TRIES):
            with pytest.raises(InvalidStatus, match="401"):
                connect(f"ws{agent.http.removeprefix('http')}/dashboard?token={number}", proxy=None)
        assert asking.get("/api/v1/self", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 429


def test_to_have_no_token_is_no_guess(tmp_path: Path) -> None:
    with running(tmp_path, web={"token": TOKEN}) as agent, client(agent) as asking:
        for _ in range(3 * TRIES):
            assert asking.get("/api/v1/self").status_code == 401
        assert asking.get("/api/v1/self", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
