"""The country of our own public addresses, by real tables; nothing where nothing is known."""

import sys
from pathlib import Path
from typing import Any

import pytest

from mmdb import write_mmdb
from peerscope.errors import ConfigError
from peerscope.sources.geo import country, country_table, is_public

GERMAN = "198.51.99.7"  # whatever the internet says of it: this table is ours


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["193.0.6.139:4600"], "NL"),  # RIPE NCC
        (["8.8.8.8:1"], "US"),
        (["[2001:67c:2e8:22::c100:68b]:4600"], "NL"),
        (["10.0.0.1:1", "193.0.6.139:1"], "NL"),
        (["193.0.6.139:1", "8.8.8.8:1"], None),  # which of the two would be a guess
        (["10.0.0.1:1", "127.0.0.1:1", "100.64.0.1:1", "[fd00::1]:1"], None),
        ([], None),
    ],
)
def test_the_table_of_iptocc_knows_public_addresses(addresses: list[str], expected: str | None) -> None:
    assert country(addresses, country_table("")) == expected


def test_only_addresses_of_the_internet_are_public() -> None:
    private = "10.1.2.3 172.16.0.1 192.168.0.1 127.0.0.1 169.254.1.1 100.64.0.1 192.0.2.1 0.0.0.0 224.0.0.251 a.example"
    private += " ::1 fe80::1%eth0 fd00::1 2001:db8::1 ::ffff:10.0.0.1 ff02::1"
    assert [host for host in private.split() if is_public(host)] == []
    assert [host for host in ("8.8.8.8", "2001:67c:2e8:22::1") if not is_public(host)] == []


def test_private_addresses_are_never_looked_up() -> None:
    def look_up(host: str) -> str | None:
        raise AssertionError(host)

    assert country(["192.168.0.1:4600", "[fe80::1]:4600"], look_up) is None


def test_without_the_extra_there_is_no_country_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iptocc", None)
    assert country(["8.8.8.8:1"], country_table("")) is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "DE"}}, "DE"),
        ({"country_code": "DE"}, "DE"),
        ({"country": "Germany", "country_code": "DE"}, "DE"),
        ({"country": {"iso_code": "\x1b[31m"}}, None),
        ({"country": {}}, None),
        ({"city": "Berlin"}, None),
    ],
)
def test_an_mmdb_file_of_the_operator_is_read(tmp_path: Path, record: dict[str, Any], expected: str | None) -> None:
    look_up = country_table(str(write_mmdb(tmp_path / "own.mmdb", "198.51.99.0/24", record)))
    assert country([f"{GERMAN}:1"], look_up) == expected
    assert country(["8.8.8.8:1"], look_up) is None
    assert country(["[2001:67c:2e8:22::1]:1"], look_up) is None  # a table of IPv4 only


def test_a_file_that_cannot_be_used_is_told_with_its_key(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"not a table")
    for place, wish in (
        (tmp_path / "none.mmdb", "cannot be read"),
        (tmp_path, "not an .mmdb file"),
        (broken, "not an .mmdb file"),
    ):
        with pytest.raises(ConfigError) as told:
            country_table(str(place))
        assert [word for word in ("peer.geo_database", str(place), wish) if word not in str(told.value)] == []


def test_a_damaged_record_is_no_country_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_mmdb(tmp_path / "own.mmdb", "198.51.99.0/24", {"country": {"iso_code": "DE"}})
    file.write_bytes(file.read_bytes().replace(b"\x42DE", b"\x3fDE"))  # a pointer to nowhere
    assert country([f"{GERMAN}:1"], country_table(str(file))) is None
    assert "peer.geo_database" in caplog.text
