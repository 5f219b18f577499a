"""`check-config` and `run` refuse the same settings, in the same words: both verbs as they are, on the same file."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certificates import certificate
from live import HAS_IPV6
from peerscope.host.state import KEY_FILE, VERSION_FILE, StateDirectory
from peerscope.records.identity import Identity
from peerscope.transport import names

OTHER = Identity(b"o" * 32).peer_id.hex()
OPERATOR = Identity(b"p" * 32).peer_id.hex()
SECRET = "0123456789abcdef"
WEBHOOK = '[notify.channels.ops]\nkind = "webhook"\n'
BAD = [
    ('[peer]\nlisten = "4600"', "peer.listen"),
    ('[peer]\nlisten = "0.0.0.0:4600"', "peer.listen"),
    (f'[network]\nsecret = "{SECRET}"\n[peer]\nlisten = "192.0.2.1:4600"', "peer.listen"),
    (f'[network]\nsecret = "{SECRET}"\n[peer]\nlisten = "[2001:db8::1]:4600"', "peer.listen"),
    (f'[network]\nsecret = "{SECRET}"\n[peer]\nlisten = "no-such-host.invalid:4600"', "peer.listen"),
    (f'[network]\nsecret = "{SECRET}"\n[peer]\nlisten = "under score!:4600"', "peer.listen"),
    (f'[network]\nsecret = "{SECRET}"\n[peer]\nlisten = "999.1.1.1:4600"', "neither an IP address nor a host name"),
    ('[peer]\nlisten = "127.0.0.1:٤٦٠٠"', "peer.listen"),
    ('[web]\nlisten = "localhost:٨٠٨٠"', "web.listen"),
    ('[peer]\njoin = ["seed.example.org:4600"]', "peer.join"),
    ('[peer]\njoin = ["192.0.2.1:4600"]', "peer.join"),
    ('[peer]\njoin = ["endpointnonsense"]', "peer.join"),
    ('[peer]\njoin = [""]', "peer.join"),
    ('[peer]\njoin = ["abc@seed.example.org:4600"]', "peer.join"),
    (f'[peer]\njoin = ["{OTHER}@"]', "peer.join"),
    (f'[peer]\njoin = ["{OTHER}@seed.example.org:0"]', "peer.join"),
    (f'[peer]\njoin = ["{OTHER}@seed example.org:4600"]', "peer.join"),
    ('[peer]\ngeo_database = "{place}/none.mmdb"', "peer.geo_database"),
    ('[web]\nlisten = "8080"', "web.listen"),
    ('[web]\nlisten = "0.0.0.0:8080"', "web.listen"),
    (f'[web]\ntoken = "{SECRET}"\nlisten = "192.0.2.1:8080"', "web.listen"),
    (f'[web]\ntoken = "{SECRET}"\nlisten = "no-such-host.invalid:8080"', "web.listen"),
    ('[web]\ntls_cert = "{place}/none.pem"\ntls_key = "{place}/none.pem"', "web.tls_cert"),
    ('[web]\ntls_cert = "{place}/cert.pem"\ntls_key = "{place}/text"', "web.tls_key"),
    ('[web]\ntls_cert = "{place}/text"\ntls_key = "{place}/key.pem"', "web.tls_cert"),
    ('[transport]\nrelay = "relay.example.org"', "transport.relay"),
    ('[transport]\nrelay = "https://relay.example.org"', "transport.relay"),
    ('[node]\nsources = ["nonsense:1"]', "node.sources"),
    ('[node]\nsources = ["telemetry", "telemetry"]', "node.sources"),
    ('[node]\nsources = ["prometheus:ftp://127.0.0.1/metrics"]', "node.sources"),
    (WEBHOOK, "notify.channels.ops.url"),
    (WEBHOOK + 'url_file = "{place}/none"', "notify.channels.ops.url_file"),
    (WEBHOOK + 'url_file = "{place}/text"', "notify.channels.ops.url_file"),
    ('[notify.channels.ops]\nkind = "pigeon"', "notify.channels.ops.kind"),
    ('[export.remote_write]\nurl = "ftp://127.0.0.1/"', "export.remote_write.url"),
    (
        '[export.remote_write]\nurl = "http://127.0.0.1:1/"\nbearer_token_file = "{place}/none"',
        "export.remote_write.bearer_token_file",
    ),
    ('[alerts]\nrules_file = "{place}/none"', "alerts.rules_file"),
    ('[threats]\nsignatures_file = "{place}/none"', "threats.signatures_file"),
    ('[threats]\nsignatures_file = "{place}/text"', "threats.signatures_file"),
    ('[network]\ncertificate_file = "{place}/none"', "network.operators"),
    (f'[network]\noperators = ["{OPERATOR}"]\ncertificate_file = "{{place}}/none"', "network.certificate_file"),
    (f'[network]\noperators = ["{OPERATOR}"]\ncertificate_file = "{{place}}/text"', "network.certificate_file"),
    (f'[network]\noperators = ["{OPERATOR}"]\nrevocation_file = "{{place}}/none"', "network.revocation_file"),
    ("[history]\ninterval_s = 7", "history.interval_s"),
]
GOOD = [
    "",
    '[peer]\nlisten = "localhost:0"',
    *(['[peer]\nlisten = "[::1]:0"'] if HAS_IPV6 else []),
    f'[peer]\njoin = ["{OTHER}@localhost:9", "{OTHER}@[::1]:9", "{OTHER}@peers.example.org", "{OTHER}@127.0.0.1:9"]',
    '[web]\ntls_cert = "{place}/cert.pem"\ntls_key = "{place}/key.pem"',
    f'[network]\noperators = ["{OPERATOR}"]',
]
Verbs = Callable[[str, Path], tuple[str, str]]


@pytest.fixture
def verbs(
    peerscope: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Verbs]:
    """What `check-config` and then `run` complain of, given the text of a file and a state directory."""
    monkeypatch.setattr(names, "WAIT_S", 60.0)
    # An agent that is not refused leaves as soon as it is ready.
    monkeypatch.setattr("peerscope.cli.run._print_ready", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    handlers = list(logging.getLogger().handlers)

    def ask(text: str, state: Path) -> tuple[str, str]:
        file = tmp_path / "settings.toml"
        file.write_text(
            "[history]\nenabled = false\n" * ("[history]" not in text) + text.replace("{place}", str(tmp_path))
        )
        http = () if "[web]" in text else ("--http", "off")
        code, _, checked = peerscope("check-config", str(file), "--state", str(state))
        assert code == (2 if checked else 0)
        _, _, complaint = peerscope("run", "--config", str(file), "--state", str(state), *http)
        return checked, "\n".join(line for line in complaint.splitlines() if "warning" not in line.lower())

    yield ask
    for handler in [one for one in logging.getLogger().handlers if one not in handlers]:
        logging.getLogger().removeHandler(handler)
        handler.close()


@pytest.mark.parametrize(("text", "key"), BAD)
def test_settings_that_run_refuses_are_refused_by_check_config_in_the_same_words(
    verbs: Verbs, tmp_path: Path, text: str, key: str
) -> None:
    certificate(tmp_path)
    (tmp_path / "text").write_text("nonsense")
    checked, complaint = verbs(text, tmp_path / "state")
    assert key in checked
    assert checked.strip() == complaint.strip()
    assert len(checked.strip().splitlines()) == 1


@pytest.mark.parametrize("text", GOOD)
def test_settings_that_check_config_calls_good_start_an_agent(verbs: Verbs, tmp_path: Path, text: str) -> None:
    certificate(tmp_path)
    assert verbs(text, tmp_path / "state") == ("", "")


def broken_key(state: Path) -> None:
    (state / KEY_FILE).write_text("nonsense")


def open_key(state: Path) -> None:
    (state / KEY_FILE).chmod(0o644)


def later_version(state: Path) -> None:
    (state / VERSION_FILE).write_text("999999")


@pytest.mark.parametrize("harm", [broken_key, open_key, later_version])
def test_a_state_directory_that_run_refuses_is_refused_by_check_config(
    verbs: Verbs, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    state = StateDirectory(tmp_path / "state")
    state.identity()
    harm(state.path)
    checked, complaint = verbs("", state.path)
    assert str(state.path) in checked
    assert checked == complaint + "\n"


def test_a_place_where_no_state_directory_can_be_is_refused_by_both(verbs: Verbs, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    checked, complaint = verbs("", tmp_path / "file" / "state")
    assert f"state directory {tmp_path / 'file' / 'state'}" in checked
    assert f"state directory {tmp_path / 'file' / 'state'}" in complaint


def test_check_config_leaves_no_trace(peerscope: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "settings.toml").touch()
    code, _, _ = peerscope("check-config", str(tmp_path / "settings.toml"), "--state", str(tmp_path / "state"))
    assert code == 0
    assert [one.name for one in tmp_path.iterdir()] == ["settings.toml"]


def test_a_certificate_is_looked_up_for_the_peer_of_the_state_directory(
    peerscope: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "peerscope.toml"
    file.write_text(f'[network]\noperators = ["{OPERATOR}"]\ncertificate_file = "{tmp_path}/paper"')
    (tmp_path / "paper").write_text("# nothing\n")
    code, _, complaint = peerscope("check-config", str(file), "--state", str(tmp_path / "none"))
    assert (code, "no identity yet" in complaint) == (2, True)
    me = StateDirectory(tmp_path).identity().peer_id.hex()
    code, _, complaint = peerscope("check-config", str(file))  # the file lies in its state directory
    assert (code, f"no certificate for this peer, {me}" in complaint) == (2, True)
