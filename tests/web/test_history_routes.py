"""Series over time, by a real agent over HTTP."""

import time

import httpx
import pytest

from live import Agent, client, running, until

STEP_S = 5


@pytest.fixture(scope="module", autouse=True)
def sampled(agent: Agent) -> None:
    """The agent has sampled itself, though it wrote nothing yet."""

    def sample() -> None:
        recorder = agent.monitor.recorder
        assert recorder is not None
        recorder.take(recorder.sample(int(time.time()) // STEP_S * STEP_S))

    agent.loop.call(sample)


def test_a_peer_s_series_is_asked_for_by_name(web: httpx.Client, agent: Agent) -> None:
    found = web.get("/api/v1/history", params={"metric": "links", "peer": agent.peer_id[:12], "since": "15m"}).json()
    assert (found["metric"], found["unit"], found["peer_id"]) == ("links", "count", agent.peer_id)
    assert (found["step_s"], found["source"]) == (STEP_S, "raw")
    assert found["samples"][0] == [found["since"], None]
    assert found["samples"][-1][1] == 0.0
    steps = {later[0] - earlier[0] for earlier, later in zip(found["samples"], found["samples"][1:], strict=False)}
    assert steps == {STEP_S}
    assert 180 <= len(found["samples"]) <= 181


def test_without_a_peer_it_is_this_one_or_the_network(web: httpx.Client, agent: Agent) -> None:
    assert web.get("/api/v1/history", params={"metric": "cpu_ratio"}).json()["peer_id"] == agent.peer_id
    found = web.get("/api/v1/history", params={"metric": "network_peers"}).json()
    assert found["peer_id"] is None
    assert found["samples"][-1][1] == 1.0


def test_a_long_time_comes_in_at_most_two_thousand_steps(web: httpx.Client) -> None:
    for since, source in (("24h", "minute"), ("30d", "quarter"), ("3000d", "quarter")):
        found = web.get("/api/v1/history", params={"metric": "network_peers", "since": since}).json()
        assert found["source"] == source
        assert len(found["samples"]) <= 2000
        assert found["samples"][-1][1] == 1.0  # though no minute is over
    found = web.get("/api/v1/history", params={"since": "1h", "step": "10m"}).json()
    assert (found["step_s"], len(found["samples"])) in ((600, 6), (600, 7))
    since = int(time.time()) - 60
    assert web.get("/api/v1/history", params={"since": str(since)}).json()["since"] == since // STEP_S * STEP_S


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"metric": "cpu"}, 404, "no series 'cpu'; near it: cpu_ratio"),
        ({"peer": "00000000"}, 404, "no peer '00000000'"),
        ({"metric": "network_peers", "peer": ""}, 400, "of the whole network"),
        ({"since": "soon"}, 400, "since is 'soon'; must be as 90s, 15m, 1h or 30d or Unix seconds"),
        ({"since": "0s"}, 400, "since is '0s'"),
        ({"since": "99999999d"}, 400, "last ten years"),
        ({"since": "1"}, 400, "last ten years"),
        ({"since": "99999999999"}, 400, "last ten years"),
        ({"step": "²s"}, 400, "step is"),
        ({"step": "5"}, 400, "step is '5'; must be as 90s, 15m, 1h or 30d"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_way_out(
    web: httpx.Client, query: dict[str, str], status: int, words: str
) -> None:
    answer = web.get("/api/v1/history", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


def test_the_series_are_listed(web: httpx.Client) -> None:
    found = {one["name"]: one for one in web.get("/api/v1/history/metrics").json()}
    assert found["cpu_ratio"]["unit"] == "ratio"
    assert found["network_peers"]["scope"] == "network"


def test_an_agent_samples_and_writes_by_itself_and_knows_its_past_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    state, query = tmp_path_factory.mktemp("state"), {"metric": "disk_ratio", "since": "1h"}

    def values(agent: Agent) -> list[float]:
        with client(agent) as web:
            samples = web.get("/api/v1/history", params=query).json()["samples"]
        return [value for _, value in samples if value is not None]

    with running(state, history={"interval_s": 1}) as agent:
        until(lambda: len(values(agent)) >= 2, "two samples")
        before = values(agent)
    with running(state, history={"interval_s": 1}) as agent:
        assert len(values(agent)) >= len(before)


def test_an_agent_without_a_history_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("off"), history={"enabled": False}) as agent:
        with client(agent) as web:
            answer = web.get("/api/v1/history")
        assert answer.status_code == 404
        assert "history.enabled" in answer.json()["detail"]
        assert not (agent.monitor.state.path / "history.db").exists()
