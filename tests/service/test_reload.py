"""Settings read again: what takes effect, what needs a restart, and that a mistake changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from live import Agent, client, running
from peerscope.agent.reload import EFFECTS, Reloaded, changed, reload
from peerscope.alerts.rules import default_rules
from peerscope.config import Config
from peerscope.errors import ConfigError

TOKEN, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running(tmp_path_factory.mktemp("agent"), web={"token": TOKEN}) as agent:
        yield agent


def taken(agent: Agent, new: Config) -> Reloaded:
    return agent.loop.call(reload, agent.monitor, new)


def asked(agent: Agent, token: str) -> int:
    with client(agent) as asking:
        found: httpx.Response = asking.get("/api/v1/self", headers={"Authorization": f"Bearer {token}"})
        return found.status_code


def test_all_that_differs_is_named_to_the_key() -> None:
    new = Config.load(environment={"PEERSCOPE_HEALTH__CPU__DEGRADED": "0.5", "PEERSCOPE_PEER__LISTEN": "127.0.0.1:1"})
    assert changed(Config(), new) == ["health.cpu.degraded", "peer.listen"]
    assert changed(new, new) == []


def test_every_key_that_can_be_reloaded_is_one() -> None:
    for name in EFFECTS:
        section, _, key = name.partition(".")
        assert hasattr(getattr(Config(), section), key or "__struct_fields__")


def test_a_new_token_counts_at_once_and_the_old_one_no_more(agent: Agent) -> None:
    config = agent.monitor.config
    assert (asked(agent, TOKEN), asked(agent, OTHER)) == (200, 401)
    found = taken(agent, replace(config, web=replace(config.web, token=OTHER)))
    assert found == Reloaded(("web.token",), ())
    assert (asked(agent, TOKEN), asked(agent, OTHER)) == (401, 200)
    taken(agent, config)


def test_what_needs_a_restart_is_named_and_stays_as_it_is(agent: Agent) -> None:
    config = agent.monitor.config
    new = replace(config, peer=replace(config.peer, listen="127.0.0.1:7", region="moved"))
    found = taken(agent, new)
    assert found == Reloaded((), ("peer.listen", "peer.region"))
    assert str(found) == "nothing changed; needs a restart: peer.listen, peer.region"
    assert agent.monitor.config == config


def test_changed_rules_are_looked_at_from_then_on(agent: Agent) -> None:
    config = agent.monitor.config
    new = Config.load(environment={}, options={"alerts": {"rules": {"cpu-high": {"threshold": 0.99}}}})
    found = taken(agent, replace(config, alerts=new.alerts))
    assert found == Reloaded(("alerts.rules.cpu-high",), ())
    engine = agent.monitor.core.alerts.engine
    assert {rule.threshold for rule in engine._own_rules if rule.name == "cpu-high"} == {0.99}
    taken(agent, config)


def test_a_file_of_rules_is_read_again_though_no_key_changed(agent: Agent, tmp_path: Path) -> None:
    config, place = agent.monitor.config, tmp_path / "rules.toml"
    rule = '[warm]\ntype = "x"\nsignal = "cpu_ratio"\nabove = {}\nseverity = "low"\ntitle = "warm"\n'
    assert any(one.signal == "cpu_ratio" for one in default_rules())
    place.write_text(rule.format("0.5"))
    new = replace(config, alerts=replace(config.alerts, rules_file=str(place)))
    assert taken(agent, new).applied == ("alerts.rules_file",)
    assert taken(agent, new).applied == ()
    place.write_text(rule.format("0.6"))
    assert taken(agent, new).applied == ("alerts.rules_file",)
    place.write_text("[warm")
    with pytest.raises(ConfigError, match=r"rules\.toml: not TOML"):
        taken(agent, new)
    taken(agent, config)


def test_a_token_that_is_missing_beyond_loopback_is_refused_whatever_the_new_address(agent: Agent) -> None:
    monitor = agent.monitor
    config = monitor.config
    monitor.config = replace(config, web=replace(config.web, listen="0.0.0.0:1"))
    try:
        with pytest.raises(ConfigError, match=r"web\.token is empty"):
            taken(agent, replace(config, web=replace(config.web, token="", listen="127.0.0.1:1")))
        assert monitor.config.web.token == TOKEN
    finally:
        monitor.config = config
