"""Where exporters are: only what others can reach is said, and everybody who says so is listed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book, lose, meshed
from peerscope.errors import RemoteError
from peerscope.export.config import ExportConfig
from peerscope.export.discovery import exporter_address, local_address, scraped_as, targets
from peerscope.records.bodies import Kind, Profile, decode_body, encode_body

REACHED = ("127.0.0.1:4600", "10.0.0.7:4600", "[2001:db8::7]:4600")


def said(http: str | None, address: str = "", reached: tuple[str, ...] = REACHED) -> str | None:
    return exporter_address(ExportConfig(address=address), http, reached)


@pytest.mark.parametrize("http", [None, "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_what_only_this_machine_reaches_is_told_nobody(http: str | None) -> None:
    assert said(http) is None


@pytest.mark.parametrize("http", ["http://10.0.0.7:8080", "http://0.0.0.0:8080", "http://192.168.1.1:80"])
def test_off_tells_nobody(http: str) -> None:
    assert said(http, "off") is None


def test_a_server_beyond_loopback_is_told_where_it_listens() -> None:
    assert said("http://192.168.1.1:8080") == "192.168.1.1:8080"
    assert said("http://[2001:db8::1]:8080") == "[2001:db8::1]:8080"


def test_one_that_listens_on_all_addresses_is_told_where_other_peers_reach_it() -> None:
    assert said("http://0.0.0.0:8080") == "10.0.0.7:8080"
    assert said("http://[::]:8080", reached=REACHED[2:]) == "[2001:db8::7]:8080"
    assert said("http://0.0.0.0:8080", reached=("127.0.0.1:1", "0.0.0.0:1")) is None


def test_the_operator_knows_best() -> None:
    assert said("http://127.0.0.1:8080", "proxy.example.org:9443") == "proxy.example.org:9443"
    assert said("http://127.0.0.1:8080", "127.0.0.1") == "127.0.0.1:8080"
    assert said(None, "proxy.example.org:9443") is None


def test_scrapers_may_call_it_by_what_it_told_them() -> None:
    assert scraped_as(ExportConfig(address="proxy.example.org:1"), "127.0.0.1") == ("proxy.example.org",)
    assert scraped_as(ExportConfig(address="[2001:db8::1]"), "127.0.0.1") == ("2001:db8::1",)
    assert scraped_as(ExportConfig(), "10.0.0.7") == ()
    assert "127.0.0.1" in scraped_as(ExportConfig(), "0.0.0.0")


@given(st.text(max_size=90))
def test_only_a_host_and_a_port_can_be_told(address: str) -> None:
    body = encode_body(Profile((), None, "1", 0, exporter=address))
    try:
        told = decode_body(Kind.PROFILE, body)
    except RemoteError:
        return
    assert isinstance(told, Profile)
    assert told.exporter is not None
    host, _, port = told.exporter.rpartition(":")
    assert port.isdecimal()
    assert host
    assert not set(host) - set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-[]:")


@pytest.mark.parametrize("address", ["a/b:1", "a:1/x", "user@host:1", "a b:1", "a:1\n", "é:1", "a", ":1", "a:123456"])
def test_whatever_else_is_said_is_refused(address: str) -> None:
    with pytest.raises(RemoteError, match="malformed-body"):
        decode_body(Kind.PROFILE, encode_body(Profile((), None, "1", 0, exporter=address)))


def test_an_older_profile_names_no_exporter() -> None:
    older = msgspec.msgpack.decode(encode_body(Profile(("10.0.0.1:1",), "eu", "1", 0)))[:-1]
    told = decode_body(Kind.PROFILE, msgspec.msgpack.encode(older))
    assert told == Profile(("10.0.0.1:1",), "eu", "1", 0)


def exporting(book: Book, number: int, **fields: object) -> None:
    book.say(number, Profile((), "eu", "1.0", 0, exporter=f"10.0.0.{number}:8080", **fields), at=1.0)  # type: ignore[arg-type]


def test_everybody_who_names_an_exporter_is_listed_and_nobody_else() -> None:
    book = meshed(4)
    exporting(book, 1, node="kubo")
    exporting(book, 2, left=True)
    exporting(book, 3)
    found = targets(book.snapshot(1.0), "mine")
    assert sorted(one.targets for one in found) == [("10.0.0.1:8080",), ("10.0.0.3:8080",)]
    about = next(one.labels for one in found if one.targets == ("10.0.0.1:8080",))
    assert about == {
        "__meta_peerscope_peer": book[1].hex()[:16],
        "__meta_peerscope_peer_id": book[1].hex(),
        "__meta_peerscope_short_id": book[1].hex()[:10],
        "__meta_peerscope_network": "mine",
        "__meta_peerscope_zone": "",
        "__meta_peerscope_region": "eu",
        "__meta_peerscope_node": "kubo",
        "__meta_peerscope_version": "1.0",
        "__meta_peerscope_verdict": "alive",
    }


def test_one_that_is_down_stays_listed_so_that_its_absence_shows() -> None:
    book = meshed(4)
    exporting(book, 3)
    now = lose(book, 3, [0, 1, 2])
    (one,) = targets(book.snapshot(now), "mine")
    assert one.labels["__meta_peerscope_verdict"] == "down"


@pytest.mark.parametrize(
    ("http", "address", "local"),
    [
        ("http://127.0.0.1:8080", "", "127.0.0.1:8080"),
        ("http://[::1]:8080", "", "[::1]:8080"),
        ("http://0.0.0.0:80", "", "127.0.0.1:80"),
        ("http://[::]:8080", "", "[::1]:8080"),
        ("http://127.0.0.1:8080", "off", None),
        (None, "", None),
    ],
)
def test_a_scraper_on_this_machine_reaches_what_listens_on_loopback(
    http: str | None, address: str, local: str | None
) -> None:
    assert local_address(ExportConfig(address=address), http) == local


def test_the_asked_peer_lists_itself_where_it_names_nothing_and_nobody_else() -> None:
    book = meshed(4)
    exporting(book, 1)
    found = targets(book.snapshot(1.0, me=2), "mine", "127.0.0.1:8080")
    assert {one.targets: one.labels["__meta_peerscope_peer_id"] for one in found} == {
        ("10.0.0.1:8080",): book[1].hex(),
        ("127.0.0.1:8080",): book[2].hex(),
    }
    (said,) = targets(book.snapshot(1.0, me=1), "mine", "127.0.0.1:8080")
    assert said.targets == ("10.0.0.1:8080",), "what the operator says goes first"
