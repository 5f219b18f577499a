"""Files of certificates and revocations, one a line, so that people can mail and paste them.

A file holds lines like `peerscope-certificate-1 BASE64`; empty lines and lines that begin with # are comments. The
agent reads its files at the start, and again when they change: to renew a certificate or revoke a peer needs no
restart. It saves revocations of other peers in its state directory, so that a new start knows them before it hears any
peer.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from random import Random

import msgspec

from peerscope.alerts.expiry import issue_command
from peerscope.errors import ConfigError, RemoteError
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.state import write_whole
from peerscope.mesh.events import Credentials
from peerscope.mesh.membership.admission import Admission, NetworkConfig
from peerscope.records.certificates import Certificate, Revocation
from peerscope.records.identity import PeerId

FILE_BYTES_MAX = 1024 * 1024
REVOKED_FILE = "revoked"
HEADS: dict[str, type[Certificate | Revocation]] = {
    "peerscope-certificate-1": Certificate,
    "peerscope-revocation-1": Revocation,
}
log = logging.getLogger(__name__)


def armored(paper: Certificate | Revocation) -> str:
    """One line of text."""
    head = next(head for head, kind in HEADS.items() if isinstance(paper, kind))
    return f"{head} {base64.b64encode(msgspec.msgpack.encode(paper)).decode()}"


def papers(place: Path) -> list[Certificate | Revocation]:
    """Read a file, without a check of signatures. Raises `ConfigError`, which names the line."""
    try:
        with place.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{place}: larger than {FILE_BYTES_MAX} bytes; certificates and revocations are short")
        lines = data.decode("ascii").splitlines()
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{place}: not a text file of `peerscope admit`") from None
    found: list[Certificate | Revocation] = []
    for number, line in enumerate(lines, 1):
        try:
            found += _papers_of_line(line)
        except ValueError:
            raise ConfigError(
                f"{place}: line {number} is no certificate and no revocation of `peerscope admit`"
            ) from None
    return found


def _papers_of_line(line: str) -> list[Certificate | Revocation]:
    """Parse one line; empty for a comment or an empty line. Raises ValueError."""
    head, _, text = line.strip().partition(" ")
    if not head or head.startswith("#"):
        return []
    try:
        return [msgspec.msgpack.decode(base64.b64decode(text, validate=True), type=HEADS[head])]
    except (KeyError, binascii.Error, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from None


def _papers_of(key: str, place: Path) -> list[Certificate | Revocation]:
    try:
        return papers(place)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


class CredentialFiles:
    """Reads the files of one agent, again after each change."""

    def __init__(self, config: NetworkConfig, me: PeerId | None, state: Path) -> None:
        """`me`: None before there is a key. `state`: the state directory."""
        self._config = config
        self._me = me
        self._certificate = Path(config.certificate_file) if config.certificate_file else None
        self._revocations = [Path(config.revocation_file)] if config.revocation_file else []
        self._learnt = state / REVOKED_FILE
        self._seen: dict[Path, tuple[int, int]] = {}
        self._kept: frozenset[Revocation] | None = None

    def first(self, wall_ms: int) -> Credentials:
        """Read the files at the start. Raises `ConfigError` if a member would refuse the certificate."""
        listed = [one for place in self._revocations for one in _papers_of("network.revocation_file", place)]
        revocations = [one for one in listed + self._learnt_papers() if isinstance(one, Revocation)]
        certificate = None if self._certificate is None else self._ours(self._certificate)
        self._changed()
        found = Credentials(certificate, tuple(revocations))
        if certificate is not None:
            self._check(found, wall_ms)
        elif self._config.operators:
            log.warning(
                "network.operators is set, but network.certificate_file is empty: members that do not have this peer "
                "on their network.allow will refuse it; get one by `%s`",
                issue_command(self._me, self._config.name) if self._me else "peerscope admit issue ID",
            )
        return found

    def look(self, admission: Admission, wall_ms: int) -> list[Credentials]:
        """Read files that have changed, and save revocations of other peers. Call it now and then."""
        self._keep(admission.revocations.values())
        if not self._changed():
            return []
        try:
            return [self.first(wall_ms)]
        except ConfigError as error:  # half written, or a mistake: the former credentials stay
            log.warning("%s; the former credentials stay in use", error)
            return []

    def ours(self) -> Certificate:
        """Our certificate with the latest end, valid or not. Raises `ConfigError`."""
        assert self._certificate is not None
        return self._ours(self._certificate)

    def _learnt_papers(self) -> list[Certificate | Revocation]:
        """Read revocations of other peers from earlier runs. A damaged file is put aside, and its valid lines kept."""
        if not self._learnt.exists():
            return []
        try:
            return papers(self._learnt)
        except ConfigError as error:
            try:
                with self._learnt.open("rb") as file:
                    lines = file.read(FILE_BYTES_MAX).decode("ascii", "replace").splitlines()
            except OSError:
                raise error from None
            whole = []
            for line in lines:
                with contextlib.suppress(ValueError):
                    whole += _papers_of_line(line)
            loss = f"{len(whole)} of its {len(lines)} lines still hold; members send the others again"
            reason = str(error).removeprefix(f"{self._learnt}: ")
            if put_damaged_aside(self._learnt, reason, loss) is not None:
                self._kept = None
                self._keep(one for one in whole if isinstance(one, Revocation))  # the next start needs them too
            return whole

    def _ours(self, place: Path) -> Certificate:
        found = [one for one in _papers_of("network.certificate_file", place) if isinstance(one, Certificate)]
        ours = [one for one in found if one.subject == self._me]
        if self._me is None:
            raise ConfigError(
                f"network.certificate_file: {place}: no certificate is for this peer, as it has no identity yet; "
                "`peerscope init` makes one and prints its id, for `peerscope admit issue ID`"
            )
        if not ours:
            raise ConfigError(
                f"network.certificate_file: {place}: no certificate for this peer, {self._me.hex()}; make one by "
                f"`{issue_command(self._me, self._config.name)}`"
            )
        return max(ours, key=lambda one: one.not_after_ms)

    def _check(self, found: Credentials, wall_ms: int) -> None:
        assert self._me is not None  # it has a certificate
        # Check it like a member that does not list us.
        strict = Admission(msgspec.structs.replace(self._config, allow=()), PeerId(b""), Random(0))
        strict.learn(found.revocations, wall_ms)
        try:
            strict.check(self._me, found.certificate, wall_ms)
        except RemoteError as error:
            raise ConfigError(
                f"network.certificate_file: {self._certificate}: other members would refuse this certificate "
                f"({error}); make a new one by `{issue_command(self._me, self._config.name)}`"
            ) from None

    def _changed(self) -> bool:
        now = {}
        for place in (*([self._certificate] if self._certificate else []), *self._revocations):
            try:
                status = os.stat(place)
                now[place] = (status.st_mtime_ns, status.st_size)
            except OSError:
                continue  # being replaced, or gone: the former credentials stay
        changed = any(self._seen.get(place) != value for place, value in now.items())
        self._seen |= now
        return changed

    def _keep(self, revocations: Iterable[Revocation]) -> None:
        known = frozenset(revocations)
        if known == (self._kept or frozenset()):
            return
        try:
            write_whole(self._learnt, "".join(f"{line}\n" for line in sorted(map(armored, known))).encode("ascii"))
        except OSError as error:  # a full disk must not stop the agent
            log.warning("cannot keep revocations in %s: %s", self._learnt, error.strerror)
        self._kept = known
