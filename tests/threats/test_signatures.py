"""Signatures are data: what is shipped is whole, and a mistake is named with its file and table."""

import pytest

from peerscope.errors import ConfigError
from peerscope.threats.threats import ThreatConfig
from signatures import DEFAULTS, signatures

PROMISED = """connection-churn bad-peer-connection large-message traffic-spike dht-flood connection-flood data-poisoning
    sybil eclipse equivocation forgery false-accusation replay anomaly"""


def test_every_promised_detection_is_there_with_a_title_and_what_to_do() -> None:
    shipped = {one.name: one for one in signatures()}
    assert set(PROMISED.split()) <= set(shipped)
    assert all(one.enabled and one.runbook and one.title != one.name for one in shipped.values())


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ("x = ", "not TOML"),
        ("dht-flood = 3", "dht-flood is no table"),
        ('[mine]\nsignal = "dht_put"', r"\[mine\].*did you mean 'dht_puts'"),
        ('[mine]\nsignal = "messages"', "nothing to compare with"),
        ('[mine]\nsignal = "messages"\nabove = {awful = 3}', "'awful' is unknown; must be one of low"),
        ("[dht-flood]\nabove = {high = -1}", "above"),
        ("[dht-flood]\nwindow_s = 1", "window_s"),
        ("[dht-flood]\nthreshold = 1", "threshold"),
        ('[Mine]\nsignal = "messages"\nabove = {low = 1}', "name"),
        ("#" * 300_000, "longer than"),
        ("".join(f'[s{n}]\nsignal = "messages"\nabove = {{low = 1}}\n' for n in range(60)), "at most 64"),
        ("a = " + "[" * 5000, "not TOML"),
    ],
)
def test_a_mistake_is_told_with_file_and_table(own: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as told:
        signatures(own)
    assert str(told.value).startswith("signatures: ")


def test_what_changed_is_told_in_words() -> None:
    before, after = signatures('[a]\nsignal = "messages"\nabove = {low = 1}'), signatures("[sybil]\nenabled = false")
    assert before.changes(after) == ["a removed", "sybil changed"]
    assert after.changes(before) == ["a added", "sybil changed"]
    assert before.changes(before) == []
    assert after.of("sybil") == ()


def test_the_shipped_file_explains_its_keys() -> None:
    assert all(f"# {key} " in DEFAULTS for key in ("signal", "above", "times", "deviations", "windows", "samples_min"))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"blocked": ("nonsense",)}, "'nonsense'; must be 16 or more hex digits"),
        ({"blocked": ("300.1.1.1",)}, "an address"),
        ({"trust": ("ab12",)}, "full id"),
    ],
)
def test_a_wrong_block_list_is_refused_at_the_start(settings: dict[str, tuple[str, ...]], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        ThreatConfig(**settings)
