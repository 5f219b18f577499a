"""Metrics of one peer and of the network, by a real agent over HTTP."""

import httpx
import psutil

from live import Agent


def test_a_peer_tells_what_it_measured(web: httpx.Client, agent: Agent) -> None:
    metrics = web.get(f"/api/v1/peers/{agent.peer_id}").json()["metrics"]
    assert set(metrics) == {"system", "node", "performance", "agent", "measures"}
    assert metrics["node"] is None
    assert metrics["system"]["memory_total_bytes"] == psutil.virtual_memory().total // 1024 * 1024
    assert 0 < metrics["system"]["memory_ratio"] < 1
    assert metrics["performance"] == {"average_latency_s": None, "error_ratio": None, "throughput_bytes_s": 0}
    assert metrics["agent"]["rss_bytes"] > 2**20


def test_the_network_is_told_by_one_value_per_peer(web: httpx.Client) -> None:
    found = web.get("/api/v1/metrics").json()
    assert (found["total_peers"], found["active_peers"]) == (1, 1)
    assert set(found["system"]["memory_ratio"]) == {"peers", "mean", "median", "p95", "peak", "sum"}
    assert set(found["node"].values()) == {None}
    assert found["agent"]["rss_bytes"]["peers"] == 1
    assert set(found["trends"]) == {"peer_count", "average_latency", "error_rate"}
    assert found["trends"]["peer_count"]["direction"] == "unknown"


def test_what_was_refused_is_told_by_reason_of_this_peer_only(web: httpx.Client, agent: Agent) -> None:
    assert web.get("/api/v1/self").json()["refused"] == {}
    assert "refused" not in web.get(f"/api/v1/peers/{agent.peer_id}").json()["metrics"]["agent"]
