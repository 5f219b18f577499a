"""What nodes name themselves, in the drawer and over the network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from live import Agent, client, running

pytestmark = pytest.mark.browser
EVENTS = (
    {"type": "gauge", "name": "block_height", "value": 912_345, "unit": "blocks"},
    {"type": "gauge", "name": "leader_changes", "value": 3, "kind": "counter"},
    {"type": "gauge", "name": "folder_completion", "value": 0.9731234, "unit": "ratio"},
)


@pytest.fixture
def agent(tmp_path: Path, need: Callable[[str], str]) -> Iterator[Agent]:
    need("chromium")
    with running(tmp_path, report={"interval_s": 0.5, "calm_intervals": 1}, history={"interval_s": 1}) as agent:
        with client(agent) as asking:
            for event in EVENTS:
                assert asking.post("/api/v1/telemetry", json=event).is_success
        yield agent


def test_a_peers_own_values_are_in_its_drawer_and_those_of_all_nodes_in_a_chart(
    agent: Agent, open_page: Callable[..., Page]
) -> None:
    page = open_page(agent.http)
    page.get_by_test_id(f"peer-row-{agent.peer_id}").click()
    drawer = page.get_by_test_id("drawer")
    expect(drawer.get_by_test_id("measures")).to_contain_text("912,345 blocks")
    expect(drawer.get_by_test_id("measures")).to_contain_text("97.3 %")
    expect(drawer.get_by_role("img", name="Node: block_height (blocks), last 1h")).to_be_visible()
    page.get_by_test_id("tab-traffic").click()
    network = page.get_by_test_id("network-measures")
    rows = network.get_by_role("table", name="Measures of all nodes").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("912,345 blocks")
    chart = network.get_by_role("img", name="block_height of node nodes, last hour")
    expect(chart.locator("canvas")).to_be_visible()
