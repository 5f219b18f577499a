"""Alerts, incidents and orders of a real agent whose rules are always broken."""

from collections.abc import Iterator

import httpx
import pytest

from live import Agent, client, introduce, running, until

RULES = {name: {"threshold": -1.0, "for_s": 0.0} for name in ("cpu-high", "memory-high", "storage-high")}
FIELDS = {"id", "type", "severity", "title", "description", "peer_id", "state", "started_at", "resolved_at"}
FIELDS |= {"metadata", "confirmed_by", "runbook", "incident", "silenced_by", "acknowledged_by", "region", "rule"}
INTENT = {"x-peerscope": "1"}


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    sections = {"alerts": {"rules": RULES}, "peer": {"region": "eu-west"}, "report": {"interval_s": 0.5}}
    with running(tmp_path_factory.mktemp("alarmed"), **sections) as agent:
        until(lambda: len(agent.loop.call(agent.monitor.incidents)) == 1, "three alerts at one peer are an incident")
        yield agent


@pytest.fixture
def web(alarmed: Agent) -> Iterator[httpx.Client]:
    with client(alarmed) as asking:
        asking.headers.update(INTENT)
        yield asking


def test_alerts_are_listed_filtered_and_paged(web: httpx.Client, alarmed: Agent) -> None:
    found = web.get("/api/v1/alerts").json()
    assert {one["rule"] for one in found} >= {"cpu-high", "memory-high", "storage-high"}
    assert all(set(one) >= FIELDS for one in found)
    assert [one["id"] for one in found] == sorted(one["id"] for one in found)
    for field, value in (("rule", "cpu-high"), ("severity", "high"), ("peer", alarmed.peer_id[:8]), ("region", "x")):
        only = web.get("/api/v1/alerts", params={field: value}).json()
        name = "peer_id" if field == "peer" else field
        assert [one["id"] for one in only] == [one["id"] for one in found if one[name].startswith(value)]
    first = web.get("/api/v1/alerts", params={"limit": 1, "type": "resource-exhaustion"})
    second = web.get(first.links["next"]["url"])
    assert [one["id"] for one in first.json() + second.json()] == [one["id"] for one in found[:2]]
    assert web.get("/api/v1/alerts", params={"state": "resolved"}).json() == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("severity=bad", "severity is 'bad'; must be low, medium, high or critical"),
        ("state=over", "state is 'over'; must be firing, resolved, forgotten or ended"),
        ("all=yes", "all is 'yes'; must be 0 or 1"),
    ],
)
def test_a_filter_that_is_no_value_is_refused_in_words(web: httpx.Client, query: str, said: str) -> None:
    answer = web.get(f"/api/v1/alerts?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (400, said)


def test_one_alert_goes_by_the_beginning_of_its_id(web: httpx.Client) -> None:
    assert web.get("/api/v1/alerts/cpu-h").json()["rule"] == "cpu-high"
    assert web.get("/api/v1/alerts/nothing").status_code == 404


def test_an_incident_has_its_alerts_and_they_name_it(web: httpx.Client, alarmed: Agent) -> None:
    (incident,) = web.get("/api/v1/incidents").json()
    assert (incident["kind"], incident["root"], incident["state"]) == ("peer-cluster", alarmed.peer_id, "open")
    whole = web.get(f"/api/v1/incidents/{incident['id']}").json()
    assert [one["id"] for one in whole["members"]] == incident["alerts"]
    assert {one["incident"] for one in whole["members"]} == {incident["id"]}
    assert web.get("/api/v1/incidents/nothing").status_code == 404


def test_a_peer_answers_its_alerts(web: httpx.Client, alarmed: Agent) -> None:
    listed = web.get("/api/v1/alerts?all=1").json()
    about = web.get(f"/api/v1/peers/{alarmed.peer_id}").json()["alerts"]
    assert sorted(one["id"] for one in about) == [one["id"] for one in listed]


def test_a_silence_is_ordered_shown_and_lifted(web: httpx.Client, alarmed: Agent) -> None:
    order = {"matchers": ["rule=cpu-*"], "for_s": 60, "reason": "we know", "author": "ann"}
    silence = web.post("/api/v1/silences", json=order).json()
    assert (silence["matchers"], silence["author"]) == ([["rule", "cpu-*"]], "ann")

    def marks() -> set[str | None]:
        return {one["silenced_by"] for one in web.get("/api/v1/alerts?rule=cpu-high").json()}

    until(lambda: marks() == {silence["id"]}, "the alert is silenced")
    assert [one["id"] for one in web.get("/api/v1/silences").json()] == [silence["id"]]
    assert web.delete(f"/api/v1/silences/{silence['id']}").json() == {"id": silence["id"], "lifted": True}
    until(lambda: marks() == {None}, "the silence is lifted")
    assert web.delete(f"/api/v1/silences/{silence['id']}").status_code == 404


def test_a_silence_is_ordered_in_advance_listed_with_its_next_window_and_lifted(web: httpx.Client) -> None:
    order = {"matchers": ["rule=cpu-*"], "for_s": 7200, "reason": "patch day", "begin": "02:30"}
    silence = web.post("/api/v1/silences", json=order | {"rrule": "FREQ=DAILY", "zone": "Europe/Berlin"}).json()
    assert (silence["state"], silence["repeats"], silence["zone"]) == ("scheduled", "FREQ=DAILY", "Europe/Berlin")
    assert 0 < silence["begins_in_s"] <= 25 * 3600
    assert silence["windows"][0] == [silence["begun_at"], silence["ends_at"]]

    def listed() -> list[str]:
        return [one["id"] for one in web.get("/api/v1/silences").json() if one["state"] == "scheduled"]

    until(lambda: listed() == [silence["id"]], "it is listed")
    assert all(one["silenced_by"] is None for one in web.get("/api/v1/alerts").json())
    assert web.delete(f"/api/v1/silences/{silence['id']}").json()["lifted"]
    until(lambda: listed() == [], "it is lifted")
    assert web.post("/api/v1/silences", json=order | {"rrule": "FREQ=SECONDLY"}).status_code == 400
    refusal = web.post("/api/v1/silences", json={**order, "begin": None, "zone": "UTC"})
    assert (refusal.status_code, refusal.json()["detail"]) == (400, "zone is given without begin or rrule")


def test_an_acknowledged_incident_says_by_whom(web: httpx.Client) -> None:
    (incident,) = web.get("/api/v1/incidents").json()
    told = web.post("/api/v1/acknowledgements", json={"key": incident["id"], "author": "bob", "reason": "on it"}).json()
    assert (told["key"], told["author"]) == (incident["id"], "bob")
    until(
        lambda: [one["acknowledged_by"] for one in web.get("/api/v1/incidents").json()] == ["bob"],
        "the incident is looked after",
    )
    assert [one["author"] for one in web.get("/api/v1/acknowledgements").json()] == ["bob"]
    assert web.post("/api/v1/acknowledgements", json={"key": "nothing-here"}).status_code == 404


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"matchers": ["colour=red"], "for_s": 60, "reason": "x"}, "'colour=red' is no matcher"),
        ({"matchers": ["rule=a"], "for_s": 1e9, "reason": "x"}, "$.for_s"),
        ({"matchers": [], "for_s": 60, "reason": "x"}, "$.matchers"),
        ({"matchers": ["rule=cpu-high"], "for_s": 60, "reason": " "}, "reason is ''"),
        ({"matchers": ["rule=a"], "for_s": 60}, "`reason`"),
        ({"matchers": ["rule=cpuhigh"], "for_s": 60, "reason": "x"}, "did you mean rule=cpu-high?"),
        ({"matchers": ["severity=hihg"], "for_s": 60, "reason": "x"}, "low, medium, high, critical"),
        ({"matchers": ["peer=zzzz"], "for_s": 60, "reason": "x"}, "no peer here begins so"),
    ],
)
def test_a_silence_that_cannot_be_is_refused_in_words(web: httpx.Client, order: dict[str, object], said: str) -> None:
    answer = web.post("/api/v1/silences", json=order)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_a_silence_takes_the_beginning_of_an_id_and_holds_for_that_peer(web: httpx.Client, alarmed: Agent) -> None:
    order = {"matchers": [f"peer={alarmed.peer_id[:4].upper()}"], "for_s": 60, "reason": "x"}
    given = web.post("/api/v1/silences", json=order).json()
    assert given["matchers"] == [["peer", alarmed.peer_id]]
    assert web.delete(f"/api/v1/silences/{given['id']}").json()["lifted"]


def test_orders_need_the_header_that_no_other_sites_page_can_send(alarmed: Agent) -> None:
    with client(alarmed) as asking:
        order = {"matchers": ["rule=a"], "for_s": 60, "reason": "x"}
        assert asking.post("/api/v1/silences", json=order).status_code == 403
        assert asking.delete("/api/v1/silences/00112233").status_code == 403
        assert asking.post("/api/v1/acknowledgements", json={"key": "cpu"}).status_code == 403


def test_the_rules_are_told_as_this_peer_has_them(web: httpx.Client) -> None:
    rules = {one["name"]: one for one in web.get("/api/v1/rules").json()}
    assert rules["cpu-high"]["above"] == -1.0
    assert all(one["runbook"] for one in rules.values())


class TestForget:
    """`POST /api/v1/forgotten`: gone for good, in the whole network."""

    def test_a_living_peer_is_refused_and_forgotten_by_force(self, web: httpx.Client, alarmed: Agent) -> None:
        events: list[dict[str, object]] = []
        alarmed.loop.call(alarmed.monitor.listen, events.append)
        peer = introduce(alarmed, 71)
        until(lambda: _told(events, "status", peer) != [], "it is shown")
        refused = web.post("/api/v1/forgotten", json={"peer": peer[:12]})
        assert (refused.status_code, refused.json()["detail"]) == (
            409,
            f"{peer[:10]} is alive, not gone for good; use --force to forget it until it speaks again",
        )
        assert web.get("/api/v1/forgotten").json() == []
        made = web.post("/api/v1/forgotten", json={"peer": peer[:12], "force": True, "author": "ann", "reason": "sold"})
        assert made.status_code == 200
        until(lambda: web.get(f"/api/v1/peers/{peer}").status_code == 404, "nobody knows it")
        until(lambda: _told(events, "forgotten", peer) == ["unknown"], "and that is an event, with the last status")
        assert _told(events, "verdict", peer) == []
        (order,) = web.get("/api/v1/forgotten").json()
        assert order == made.json() | {"at": order["at"], "age_s": order["age_s"]}
        assert (order["id"], order["author"], order["reason"], order["peer_id"]) == (
            peer,
            "ann",
            "sold",
            alarmed.peer_id,
        )
        assert web.delete(f"/api/v1/forgotten/{peer[:8]}").json() == {"id": peer, "lifted": True}
        until(lambda: web.get("/api/v1/forgotten").json() == [], "the order is taken back")
        assert web.delete(f"/api/v1/forgotten/{peer[:8]}").status_code == 404

    def test_a_peer_that_left_needs_no_force_and_is_known_again_when_it_speaks(
        self, web: httpx.Client, alarmed: Agent
    ) -> None:
        peer = introduce(alarmed, 72, left=True)
        assert web.post("/api/v1/forgotten", json={"peer": peer}).status_code == 200
        until(lambda: web.get(f"/api/v1/peers/{peer}").status_code == 404, "nobody knows it")
        assert introduce(alarmed, 72) == peer
        until(lambda: web.get("/api/v1/forgotten").json() == [], "it has spoken since")

    @pytest.mark.parametrize("force", [False, True])
    def test_an_agent_does_not_forget_itself(self, web: httpx.Client, alarmed: Agent, force: bool) -> None:
        answer = web.post("/api/v1/forgotten", json={"peer": alarmed.peer_id, "force": force})
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "an agent does not forget itself; ask another one",
        )

    def test_who_is_not_known_cannot_be_forgotten(self, web: httpx.Client) -> None:
        assert web.post("/api/v1/forgotten", json={"peer": "ffffffffff"}).status_code == 404

    def test_without_the_header_nothing_is_ordered(self, alarmed: Agent) -> None:
        with client(alarmed) as asking:
            assert asking.post("/api/v1/forgotten", json={"peer": alarmed.peer_id}).status_code == 403


def _told(events: list[dict[str, object]], kind: str, peer: str) -> list[object]:
    """What events of one kind said of a peer."""
    return [
        one.get("status", one.get("verdict")) for one in events if (one["event"], one.get("peer_id")) == (kind, peer)
    ]
