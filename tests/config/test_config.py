"""Settings: which layer wins, and what a mistake is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.addresses import is_direct, is_loopback, is_name, split_address
from peerscope.mesh.config import PeerConfig


def written(place: Path, text: str) -> Path:
    file = place / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Without whatever environment the tests run in."""
    return Config.load(path, environment=environment or {}, options=options)


def refusal(path: Path | None = None, environment: Mapping[str, str] | None = None, **options: Any) -> str:
    with pytest.raises(ConfigError) as told:
        load(path, environment, options)
    return str(told.value)


def test_without_a_file_everything_has_its_default() -> None:
    assert load() == Config()
    assert Config().core() == PeerConfig()


def test_the_environment_wins_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    file = written(tmp_path, '[web]\nlisten = "127.0.0.1:1"\n[peer]\nregion = "file"\n[network]\nname = "file"')
    environment = {"PEERSCOPE_PEER__REGION": "environment", "PEERSCOPE_NETWORK__NAME": "environment"}
    config = load(file, environment, {"network": {"name": "option"}})
    assert (config.web.listen, config.peer.region, config.network.name) == ("127.0.0.1:1", "environment", "option")


def test_one_value_in_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERSCOPE_HEALTH__CPU__DEGRADED", "0.9")
    cpu = Config.load().health.cpu
    assert (cpu.degraded, cpu.unhealthy) == (0.9, Config().health.cpu.unhealthy)


def test_one_value_of_a_table_in_the_file_is_enough(tmp_path: Path) -> None:
    cpu = load(written(tmp_path, "[health]\ncpu = {degraded = 0.5}")).health.cpu
    assert (cpu.degraded, cpu.unhealthy) == (0.5, Config().health.cpu.unhealthy)


def test_text_of_the_environment_becomes_what_the_key_wants() -> None:
    environment = {
        "PEERSCOPE_LINKS__RINGS": "5",
        "PEERSCOPE_REPORT__INTERVAL_S": "2.5",
        "PEERSCOPE_PEER__JOIN": "one,two",
        "PEERSCOPE_PEER__REGION": "7",
    }
    config = load(environment=environment)
    assert (config.links.rings, config.report.interval_s) == (5, 2.5)
    assert (config.peer.join, config.peer.region) == (("one", "two"), "7")


def test_variables_of_others_are_left_alone() -> None:
    assert load(environment={"PEERSCOPE": "1", "PEERSCOPE_STATE": "x", "WEB__LISTEN": "off"}) == Config()


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ('[web]\nlistn = "off"', ["`listn`", "[web]", "did you mean `listen`"]),
        ("[health.cpu]\ndegrade = 0.5", ["`degrade`", "[health.cpu]", "did you mean `degraded`"]),
        ("[web]\nxyzzy = 1", ["`xyzzy`", "[web]", "known here: listen, token"]),
        ("[wbe]\nlisten = 1", ["`wbe`", "did you mean `web`"]),
        ("[xyzzy]", ["`xyzzy`", "known here: peer, network, web"]),
        ('[web]\nupdate_interval_s = "soon"', ["web.update_interval_s", "float", "str"]),
        ("[links]\nrings = true", ["links.rings", "int", "bool"]),
        ('[peer]\njoin = "ticket"', ["peer.join", "array", "str"]),
        ("[peer]\njoin = [5]", ["peer.join[0]", "str", "int"]),
        ("web = 5", ["web", "object", "int"]),
        ("[web]\nlisten = yes\n", ["not TOML", "line 2"]),
        ('[web]\nlisten = "8080"', ["web.listen", "'8080'", "host:port"]),
        ('[web]\nlisten = "127.0.0.1:70000"', ["web.listen", "127.0.0.1:70000", "host:port"]),
        ('[peer]\nlisten = ":4600"', ["peer.listen", "':4600'", "host:port"]),
        ('[peer]\nregion = ""', ["peer.region", "1 to 64"]),
        ('[peer]\nregion = "\\u001b[31m"', ["peer.region", "printable"]),
        ('[peer]\nregion = "~ab"', ["peer.region", "'~ab'"]),
        (
            "[regions]\nratio_critical_below = 0.9",
            ["regions.ratio_critical_below", "0.9", "regions.ratio_degraded_below"],
        ),
        ("[regions]\ncluster = {radius_s = 0}", ["regions.cluster.radius_s", "above 0"]),
        ("[regions]\ncluster = {error_max = 2}", ["regions.cluster.error_max", "1.5"]),
        ("[regions]\ncluster = {most = 0}", ["regions.cluster.most", "256"]),
        ('[network]\nname = ""', ["network.name", "1 to 64"]),
        (
            "[detector]\nsilence_floor_s = 0.5",
            ["detector.silence_floor_s", "0.5", "exceed", "detector.ping_interval_s"],
        ),
        ("[detector]\ndown_after_s = 1.0", ["detector.down_after_s", "1.0", "detector.silence_floor_s"]),
        ("[report]\ninterval_s = 0", ["report.interval_s", "between 0.1 and 3600"]),
        ("[web]\nupdate_interval_s = 0", ["web.update_interval_s", "between 0.1 and 3600"]),
        ('[web]\nlisten = "0.0.0.0:8080"', ["web.listen", "0.0.0.0:8080", "web.token", "127.0.0.1"]),
        ('[web]\nlisten = "example.org:8080"', ["web.listen", "web.token"]),
        ('[web]\ntoken = "short"', ["web.token", "16"]),
        ('[network]\nsecret = "short"', ["network.secret", "16"]),
        ('[network]\nallow = ["abc"]', ["network.allow", "'abc'", "64 hexadecimal"]),
        ('[network]\nopen = true\nsecret = "0123456789abcdef"', ["network.open", "network.secret", "drop one"]),
        (
            '[peer]\nlisten = "0.0.0.0:4600"',
            ["peer.listen", "network.secret", "network.allow", "network.operators", "network.open = true", "--listen"],
        ),
        ('[peer]\nlisten = "[::]:4600"\n[network]\nname = "mine"', ["peer.listen", "network.open = true"]),
        ("[limits]\nbytes_per_s = 0", ["limits.bytes_per_s", "1 or more"]),
        ("[health]\ncpu = {degraded = 0.95}", ["health.cpu", "degraded", "0.95", "0.9"]),
    ],
)
def test_a_mistake_names_the_file_the_key_and_the_wish(tmp_path: Path, text: str, wishes: list[str]) -> None:
    told = refusal(file := written(tmp_path, text))
    assert told.startswith(f"{file}: ")
    assert [wish for wish in wishes if wish not in told] == []
    assert len(told.splitlines()) == 1


def test_a_secret_is_never_repeated(tmp_path: Path) -> None:
    for text in ('[web]\ntoken = "hunter2"', '[network]\nsecret = "hunter2"'):
        assert "hunter2" not in refusal(written(tmp_path, text))


def test_a_missing_file_says_who_writes_one(tmp_path: Path) -> None:
    told = refusal(tmp_path / "none.toml")
    assert told == f"{tmp_path / 'none.toml'}: no such file; `peerscope init` writes one"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: cannot be read")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert refusal(tmp_path / "binary").startswith(f"{tmp_path / 'binary'}: cannot be read")


def test_a_mistake_in_the_environment_names_the_key() -> None:
    assert "web.update_interval_s" in refusal(environment={"PEERSCOPE_WEB__UPDATE_INTERVAL_S": "soon"})
    assert "did you mean `listen`" in refusal(environment={"PEERSCOPE_WEB__LISTN": "off"})
    assert "did you mean `web`" in refusal(environment={"PEERSCOPE_WBE__LISTEN": "off"})


def test_a_table_given_twice_in_the_environment_is_a_mistake_like_any_other() -> None:
    environment = {"PEERSCOPE_HEALTH__CPU": "0.5", "PEERSCOPE_HEALTH__CPU__DEGRADED": "0.9"}
    assert "health.cpu" in refusal(environment=environment)


@pytest.mark.parametrize("key", ["silence_floor_s", "ping_interval_s", "down_after_s"])
def test_what_is_no_number_is_no_time(key: str) -> None:
    assert f"detector.{key}" in refusal(detector={key: float("nan")})


def test_a_token_lets_the_dashboard_be_reached_from_elsewhere() -> None:
    config = load(options={"web": {"listen": "0.0.0.0:8080", "token": "0123456789abcdef"}})
    assert config.web.listen == "0.0.0.0:8080"


@pytest.mark.parametrize("listen", ["off", "127.0.0.1:0", "127.8.8.8:80", "localhost:80", "[::1]:8080"])
def test_loopback_needs_no_token(listen: str) -> None:
    assert load(options={"web": {"listen": listen}}).web.listen == listen


ID = "0" * 64


@pytest.mark.parametrize(
    "network",
    [{"open": True}, {"secret": "0123456789abcdef"}, {"allow": (ID,)}, {"operators": (ID,)}],
    ids=lambda network: next(iter(network)),
)
def test_beyond_loopback_a_network_says_who_may_join(network: dict[str, object]) -> None:
    assert load(options={"peer": {"listen": "0.0.0.0:4600"}, "network": network}).peer.listen == "0.0.0.0:4600"


def test_it_does_not_matter_which_layer_says_who_may_join(tmp_path: Path) -> None:
    file = written(tmp_path, '[peer]\nlisten = "0.0.0.0:4600"')
    assert Config.load(file, environment={"PEERSCOPE_NETWORK__OPEN": "true"}).network.open
    assert Config.load(file, environment={"PEERSCOPE_NETWORK__ALLOW": f"{ID},{'1' * 64}"}).network.allow[1] == "1" * 64
    assert Config.load(file, environment={}, options={"peer": {"listen": "127.0.0.1:0"}}).network.is_closed is False


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("example.org:65535", ("example.org", 65535))],
)
def test_an_address_is_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address, "x") == parts


@pytest.mark.parametrize(
    "address",
    ["", "host", "host:", ":80", "host:-1", "host:65536", "host:http", "host:8\n", "host:٨٠", "h:" + "9" * 5000],
)
def test_what_is_no_address_is_refused_under_its_name(address: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.listen is .*host:port"):
        split_address(address, "web.listen")


def test_what_can_be_dialled_at_once_is_an_ip_address_and_a_port() -> None:
    assert [one for one in ("192.0.2.1:1", "[2001:db8::1]:65535") if not is_direct(one)] == []
    wrong = ("192.0.2.1", "192.0.2.1:0", "[192.0.2.1]:1", "::1:1", "[::1]", "[::1%lo]:1", "a.test:1", ":1", "", "\0:1")
    assert [one for one in wrong if is_direct(one)] == []


def test_a_host_name_has_labels_and_is_no_number() -> None:
    good = ("localhost", "a.b", "a.b.", "xn--nxasmq6b.test", "_x._udp.test", "a" * 63, "1a", "3com.com")
    assert [one for one in good if not is_name(one)] == []
    wrong = ("", ".", "a..b", "-a", "a-", "a b", "ä.test", "a" * 64, "1.2.3.4", "1.2", "::1", "a:1", "a." * 127 + "bc")
    assert [one for one in wrong if is_name(one)] == []


def test_only_this_machine_reaches_loopback() -> None:
    assert [host for host in ("127.0.0.1", "::1", "localhost") if not is_loopback(host)] == []
    assert [host for host in ("0.0.0.0", "::", "192.168.0.1", "example.org", "") if is_loopback(host)] == []
