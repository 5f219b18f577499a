"""The comparison reads both programs' output rightly and counts what it says it counts."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "sightings.py"
spec = importlib.util.spec_from_file_location("sightings", PATH)
assert spec is not None
assert spec.loader is not None
sightings = sys.modules["sightings"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sightings)
Sighting = sightings.Sighting


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({"event": "verdict", "verdict": "suspect", "majority": False}, "suspect"),
        ({"event": "verdict", "verdict": "suspect", "majority": True}, "majority"),
        ({"event": "verdict", "verdict": "down", "majority": True}, "down"),
        ({"event": "verdict", "verdict": "alive", "majority": False}, "alive"),
        ({"event": "status", "status": "unknown"}, "alive"),
        ({"event": "status", "status": "down"}, "gone"),
    ],
)
def test_lines_of_peerscope(event: dict[str, object], what: str) -> None:
    line = json.dumps({**event, "at": 5.5, "peer_id": "ab"})
    assert sightings.from_peerscope(line, 3) == Sighting(5.5, 3, "ab", what)


@pytest.mark.parametrize("line", ["", "warning: words", json.dumps({"event": "link", "at": 1.0, "peer_id": "ab"})])
def test_other_lines_of_peerscope_say_nothing(line: str) -> None:
    assert sightings.from_peerscope(line, 0) is None


@pytest.mark.parametrize(
    ("text", "subject", "what"),
    [
        ("serf: EventMemberJoin: p3 10.66.0.4", "p3", "alive"),
        ("serf: EventMemberFailed: p3 10.66.0.4", "p3", "down"),
        ("serf: EventMemberLeave: p3 10.66.0.4", "p3", "left"),
        ("agent: Received event: member-failed", "", "delivered"),
        ("agent: Received event: user-event: news-1", "news-1", "event"),
    ],
)
def test_lines_of_serf(text: str, subject: str, what: str) -> None:
    assert sightings.from_serf(f"    2025/01/31 12:00:00 [INFO] {text}", 2, 7.25) == Sighting(7.25, 2, subject, what)


@pytest.mark.parametrize("text", ["serf: EventMemberUpdate: p3", "agent: Received event: member-join", "==> Starting"])
def test_other_lines_of_serf_say_nothing(text: str) -> None:
    assert sightings.from_serf(text, 0, 1.0) is None


def test_the_first_sighting_counts() -> None:
    seen = [
        Sighting(11.0, 0, "x", "suspect"),
        Sighting(12.0, 0, "x", "majority"),
        Sighting(14.0, 0, "x", "down"),
        Sighting(14.5, 1, "x", "down"),
        Sighting(13.0, 1, "y", "down"),
        Sighting(15.0, 2, "", "delivered"),
    ]
    assert sightings.delays(seen, 10.0, "x", {"majority", "down"}) == {0: 2.0, 1: 4.5}
    assert sightings.delays(seen, 10.0, "x", {"delivered"}) == {2: 5.0}


def test_spread_tells_what_never_came() -> None:
    assert sightings.spread([1.0, 2.0, 4.0], 5) == {"median": 2.0, "max": 4.0, "missed": 2}
    assert sightings.spread([], 2) == {"median": None, "max": None, "missed": 2}


def test_alarms_count_each_pair_once() -> None:
    seen = [Sighting(1.0, 0, "x", "down"), Sighting(2.0, 0, "x", "down"), Sighting(2.0, 1, "x", "down")]
    seen += [Sighting(3.0, 1, "y", "majority"), Sighting(3.0, 1, "z", "alive")]
    assert sightings.alarms(seen, {"down"}) == {"pairs": 2, "subjects": 1}
    assert sightings.alarms(seen, {"down", "majority"}) == {"pairs": 3, "subjects": 2}


def test_ratios_meet_by_name_or_alias() -> None:
    ours = {
        "kill": {"majority_s": {"max": 2.0, "missed": 1}, "down_s": {"max": 4.0}},
        "cost": {"rss": 3, "why": "x"},
        "loss": {"down": 0},
    }
    serf = {"kill": {"down_s": {"max": 8.0, "missed": 2}}, "cost": {"rss": 0, "why": "y"}, "loss": {"down": 0}}
    assert sightings.ratios(ours, serf) == {
        "kill": {"majority_s": {"max": 0.25}, "down_s": {"max": 0.5}},
        "cost": {"rss": None},
    }
