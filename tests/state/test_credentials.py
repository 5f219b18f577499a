"""Files of certificates and revocations: read at the start and when they change, and kept across restarts."""

import contextlib
import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.host.credentials import REVOKED_FILE, CredentialFiles, armored, papers
from peerscope.host.damaged_files import damaged_files
from peerscope.mesh.events import Credentials
from peerscope.mesh.membership.admission import Admission, NetworkConfig
from peerscope.records.certificates import Certificate, Revocation, certify, revoke
from peerscope.records.identity import PeerId
from strategies import IDENTITIES, certificates

ME, OTHER, OPERATOR = IDENTITIES[1], IDENTITIES[2], IDENTITIES[4]
NOW_MS, DAY_MS = 1_700_000_000_000, 86_400_000


def certificate(subject: PeerId = ME.peer_id, *, days: int = 90) -> Certificate:
    span = {"not_before_ms": NOW_MS - DAY_MS, "not_after_ms": NOW_MS + days * DAY_MS}
    return certify(OPERATOR, subject, "peerscope", serial=b"serial-1", **span)


def revocation(target: bytes = OTHER.peer_id) -> Revocation:
    return revoke(OPERATOR, target, "peerscope", revoked_at_ms=NOW_MS, not_after_ms=NOW_MS + 400 * DAY_MS)


def written(place: Path, *lines: object) -> Path:
    place.write_text("".join(f"{line if isinstance(line, str) else armored(line)}\n" for line in lines))
    return place


def files(tmp_path: Path, *, certificate: bool = True, revocations: bool = False) -> CredentialFiles:
    config = NetworkConfig(
        operators=(OPERATOR.peer_id.hex(),),
        certificate_file=str(tmp_path / "mine") if certificate else "",
        revocation_file=str(tmp_path / "theirs") if revocations else "",
    )
    return CredentialFiles(config, ME.peer_id, tmp_path)


def admission() -> Admission:
    return Admission(NetworkConfig(operators=(OPERATOR.peer_id.hex(),)), ME.peer_id, Random(0))


def touched(place: Path) -> None:
    """As after another second."""
    os.utime(place, ns=(0, place.stat().st_mtime_ns + 10**9))


@given(certificates)
def test_a_certificate_survives_its_line_of_text(tmp_path_factory: pytest.TempPathFactory, paper: Certificate) -> None:
    place = written(tmp_path_factory.getbasetemp() / "line", "# mine", "", paper, f"  {armored(paper)}  ")
    assert papers(place) == [paper, paper]


BAD = {
    "another head": ("nonsense abc", "line 2"),
    "no base64": ("peerscope-certificate-1 ###", "line 2"),
    "cut short": (armored(certificate())[:-20], "line 2"),
    "one kind as the other": (
        armored(certificate()).replace("certificate", "revocation"),
        "line 2",
    ),
    "no ASCII": ("\u00fc", "not a text file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_line_that_is_none_is_told_with_its_number(tmp_path: Path, name: str) -> None:
    line, told = BAD[name]
    with pytest.raises(ConfigError, match=f"bad: .*{told}"):
        papers(written(tmp_path / "bad", certificate(), line))


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    place = tmp_path_factory.getbasetemp() / "any"
    place.write_bytes(b"peerscope-certificate-1 " + data)
    with contextlib.suppress(ConfigError):
        assert all(isinstance(one, Certificate | Revocation) for one in papers(place))


def test_a_file_that_is_missing_or_too_large_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none: cannot be read: No such file"):
        papers(tmp_path / "none")
    with pytest.raises(ConfigError, match="larger than"):
        papers(written(tmp_path / "large", "#" * 2_000_000))


def test_at_the_start_the_certificate_that_lasts_longest_is_shown(tmp_path: Path) -> None:
    written(tmp_path / "mine", certificate(days=5), certificate(), certificate(OTHER.peer_id, days=300))
    assert files(tmp_path).first(NOW_MS) == Credentials(certificate(), ())


@pytest.mark.parametrize(
    ("lines", "at_ms", "told"),
    [
        ([certificate(OTHER.peer_id)], NOW_MS, f"no certificate for this peer, {ME.peer_id.hex()}"),
        ([certificate()], NOW_MS + 91 * DAY_MS, "certificate-expired.*admit issue"),
        ([certificate()], NOW_MS - 2 * DAY_MS, "certificate-early"),
        (
            [certify(OTHER, ME.peer_id, "peerscope", serial=bytes(8), not_before_ms=0, not_after_ms=2 * NOW_MS)],
            NOW_MS,
            "not signed by an operator",
        ),
    ],
)
def test_a_certificate_that_others_would_refuse_stops_the_start(
    tmp_path: Path, lines: list[Certificate], at_ms: int, told: str
) -> None:
    written(tmp_path / "mine", *lines)
    with pytest.raises(ConfigError, match=told):
        files(tmp_path).first(at_ms)


def test_without_one_the_operator_is_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert files(tmp_path, certificate=False).first(NOW_MS) == Credentials(None, ())
    assert f"admit issue {ME.peer_id.hex()}" in caplog.text


def test_a_file_that_changes_is_read_again_and_a_mistake_in_it_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = written(tmp_path / "mine", certificate(days=5))
    found = files(tmp_path)
    found.first(NOW_MS)
    assert found.look(admission(), NOW_MS) == []
    written(mine, certificate())
    touched(mine)
    assert found.look(admission(), NOW_MS) == [Credentials(certificate(), ())]
    assert found.look(admission(), NOW_MS) == []
    written(mine, "half a li")
    touched(mine)
    assert found.look(admission(), NOW_MS) == []
    assert "line 1" in caplog.text
    mine.unlink()
    assert found.look(admission(), NOW_MS) == []


def test_what_was_revoked_is_read_from_its_file_and_kept_when_learnt_from_others(tmp_path: Path) -> None:
    written(tmp_path / "mine", certificate())
    written(tmp_path / "theirs", revocation(b"serial-9"))
    found = files(tmp_path, revocations=True)
    assert found.first(NOW_MS).revocations == (revocation(b"serial-9"),)
    knows = admission()
    knows.learn([revocation(), revocation(b"serial-9")], NOW_MS)
    found.look(knows, NOW_MS)
    assert set(papers(tmp_path / REVOKED_FILE)) == {revocation(), revocation(b"serial-9")}
    again = files(tmp_path)
    assert set(again.first(NOW_MS).revocations) == {revocation(), revocation(b"serial-9")}


def test_of_a_damaged_file_of_learnt_revocations_the_whole_ones_still_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = f"{armored(revocation())}\n{armored(revocation(b'serial-9'))[:-20]}\nno line\n"
    (tmp_path / REVOKED_FILE).write_text(damaged)
    for _ in range(2):  # the next start knows them too
        assert files(tmp_path, certificate=False).first(NOW_MS).revocations == (revocation(),)
    assert [place.read_text() for place in damaged_files(tmp_path)] == [damaged]
    assert caplog.text.count("1 of its 3 lines still hold") == 1
    assert papers(tmp_path / REVOKED_FILE) == [revocation()]


def test_the_command_that_makes_a_certificate_names_the_network_unless_it_has_the_usual_name(tmp_path: Path) -> None:
    config = NetworkConfig(
        name="my net", operators=(OPERATOR.peer_id.hex(),), certificate_file=str(written(tmp_path / "mine"))
    )
    with pytest.raises(ConfigError, match=f"`peerscope admit issue {ME.peer_id.hex()} --network 'my net'`"):
        CredentialFiles(config, ME.peer_id, tmp_path).first(NOW_MS)
