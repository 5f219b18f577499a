"""Operators sign and revoke on the command line; their key is guarded, and mistakes are told."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from peerscope.host.credentials import papers
from peerscope.records.certificates import Certificate, Revocation
from strategies import IDENTITIES

PEER = IDENTITIES[1].peer_id.hex()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(peerscope: Any, *arguments: str) -> dict[str, Any]:
    code, said, complaint = peerscope("admit", *arguments, "--json")
    assert (code, complaint) == (0, "")
    return dict(json.loads(said))


def test_an_operators_key_is_its_own_and_is_never_overwritten(peerscope: Any, place: Path) -> None:
    operator = made(peerscope, "keygen")["operator"]
    assert stat.S_IMODE((place / "operator.key").stat().st_mode) == 0o600
    code, _, complaint = peerscope("admit", "keygen")
    assert (code, len(complaint.splitlines())) == (2, 1)
    assert "not overwritten" in complaint
    assert made(peerscope, "keygen", "-o", "other.key")["operator"] != operator
    code, said, _ = peerscope("admit", "keygen", "-o", "third.key")
    assert 'operators = ["' in said


def test_a_certificate_is_signed_written_and_shown(peerscope: Any, place: Path) -> None:
    operator = made(peerscope, "keygen")["operator"]
    issued = made(peerscope, "issue", PEER, "--network", "beam", "--days", "30", "-o", "certificate")
    (paper,) = papers(place / "certificate")
    assert isinstance(paper, Certificate)
    assert paper.is_signed()
    assert (paper.subject.hex(), paper.network, paper.operator.hex()) == (PEER, "beam", operator)
    assert paper.not_after_ms - paper.not_before_ms == 30 * 86_400_000
    code, said, _ = peerscope("admit", "show", "certificate", "--json")
    (shown,) = json.loads(said)
    assert (code, shown["serial"], shown["signed"], shown["expired"]) == (0, issued["serial"], True, False)
    code, said, _ = peerscope("admit", "show", "certificate")
    assert code == 0
    assert PEER in said
    assert "signed      yes" in said


def test_without_a_file_a_certificate_is_printed_to_be_pasted(peerscope: Any, place: Path) -> None:
    made(peerscope, "keygen")
    code, said, _ = peerscope("admit", "issue", PEER)
    (place / "pasted").write_text(f"# by mail\n{said}")
    assert (code, len(papers(place / "pasted"))) == (0, 1)


def test_revocations_are_added_to_their_file(peerscope: Any, place: Path) -> None:
    made(peerscope, "keygen")
    serial = made(peerscope, "issue", PEER)["serial"]
    made(peerscope, "revoke", serial, "-o", "revoked")
    made(peerscope, "revoke", PEER, "-o", "revoked")
    found = papers(place / "revoked")
    assert [one.target.hex() for one in found if isinstance(one, Revocation)] == [serial, PEER]
    assert all(isinstance(one, Revocation) and one.is_signed("peerscope") for one in found)
    assert peerscope("admit", "show", "revoked")[0] == 0
    assert peerscope("admit", "show", "revoked", "--network", "other")[0] == 1  # signed for another network


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["issue", "abc"], "'abc' is not 64 hexadecimal digits"),
        (["issue", "g" * 64], "hexadecimal"),
        (["issue", PEER, "--days", "0"], "--days"),
        (["issue", PEER, "--days", "401"], "--days"),
        (["issue", PEER, "--network", ""], "network.name"),
        (["issue", PEER, "--key", "none.key"], "none.key: cannot be read"),
        (["issue", PEER, "-o", "none/certificate"], "cannot be written"),
        (["revoke", PEER[:20]], "64 or 16 hexadecimal"),
        (["show", "none"], "none: cannot be read"),
        (["show", "operator.key"], "line 1 is no certificate"),
        (["nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_told_in_a_line(peerscope: Any, place: Path, arguments: list[str], named: str) -> None:
    made(peerscope, "keygen")
    code, _, complaint = peerscope("admit", *arguments)
    assert code == 2
    assert named in complaint.splitlines()[-1]


def test_a_key_that_others_can_read_is_not_used(peerscope: Any, place: Path) -> None:
    made(peerscope, "keygen")
    (place / "operator.key").chmod(0o644)
    code, _, complaint = peerscope("admit", "issue", PEER)
    assert code == 2
    assert "chmod 600" in complaint


def test_expired_and_forged_papers_are_shown_as_bad(peerscope: Any, place: Path) -> None:
    made(peerscope, "keygen")
    made(peerscope, "issue", PEER, "-o", "certificate")
    line = (place / "certificate").read_text()
    (place / "certificate").write_text(line[:-8] + ("AAAA" if line[-8:-4] != "AAAA" else "BBBB") + line[-4:])
    code, said, _ = peerscope("admit", "show", "certificate")
    assert code == 1
    assert "signed      no" in said
