"""What an agent reads of its machine, and what it tells of it."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from peerscope.host.machine_identity import own_host
from peerscope.records.hosts import HostTokens, host_key, host_token

BOOT, MACHINE = "3f1c2a3b-0000-4000-8000-00000000beef", "0123456789abcdef0123456789abcdef"
SECRET = "a secret of many words"
KEY = host_key(SECRET, "net")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place, text in (("proc/sys/kernel/random/boot_id", f"{BOOT}\n"), ("etc/machine-id", f"{MACHINE}\n")):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/net").symlink_to("net:[4026531840]")
    return tmp_path


def test_every_identifier_becomes_a_token_of_its_own(root: Path) -> None:
    boot = BOOT.replace("-", "")
    assert own_host(SECRET, "net", (), root) == HostTokens(
        host_token(KEY, "boot", boot),
        host_token(KEY, "machine", MACHINE),
        host_token(KEY, "network", f"{boot} net:[4026531840]"),
    )


def test_no_identifier_is_told_in_clear(root: Path) -> None:
    told = own_host(SECRET, "net", (), root)
    assert told is not None
    for identifier in (bytes.fromhex(BOOT.replace("-", "")), bytes.fromhex(MACHINE)):
        for token in (told.boot, told.machine, told.network):
            assert token is not None
            assert token not in identifier


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0" * 32, "not hexadecimal at all, but 32 by", "\xff\xfe"])
def test_an_id_that_is_not_set_is_no_id(root: Path, text: str) -> None:
    (root / "etc/machine-id").write_text(text, encoding="latin-1")
    told = own_host(SECRET, "net", (), root)
    assert told is not None
    assert told.machine is None


def test_the_id_of_dbus_stands_in(root: Path) -> None:
    (root / "etc/machine-id").unlink()
    (root / "var/lib/dbus").mkdir(parents=True)
    (root / "var/lib/dbus/machine-id").write_text(MACHINE)
    told = own_host(SECRET, "net", (), root)
    assert told is not None
    assert told.machine == host_token(KEY, "machine", MACHINE)


def test_a_system_without_such_files_tells_nothing(tmp_path: Path) -> None:
    assert own_host(SECRET, "net", ("10.0.0.1:4600",), tmp_path) is None


def test_only_public_addresses_of_our_own_interfaces_that_we_publish_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ("8.8.4.4", "10.0.0.5", "127.0.0.1", "2a00:1450:4001:800::1", "fe80::1%eth0", "1.1.1.1")
    addresses = {f"eth{number}": [SimpleNamespace(address=one)] for number, one in enumerate(held)}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    published = ("8.8.4.4:4600", "10.0.0.5:4600", "127.0.0.1:4600", "[2a00:1450:4001:800::1]:4600", "9.9.9.9:4600")
    told = own_host(SECRET, "net", (*published, "name.example:1", "nonsense"), tmp_path)
    # 9.9.9.9 is how a router shows us to others, and we do not publish 1.1.1.1.
    expected = [host_token(KEY, "address", one) for one in ("2a00:1450:4001:800::1", "8.8.4.4")]
    assert told == HostTokens(addresses=tuple(expected))


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/random/boot_id"), reason="no boot id on this system")
def test_two_agents_of_this_machine_tell_the_same() -> None:
    told = own_host(SECRET, "net", ())
    assert told is not None
    assert told.boot is not None
    assert told == own_host(SECRET, "another name", ())
    assert told != own_host("", "net", ())
