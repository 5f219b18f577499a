"""`peerscope top` before a real agent, driven by keys."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from ledgers import Book
from live import Agent, client, running
from live import until as live_until
from peerscope.records.bodies import Check, Profile, Report, Status
from peerscope.records.identity import Identity
from peerscope.top.app import Top, overview
from peerscope.top.feed import Gap, NetworkSummary
from peerscope.top.tables import PEERS, chosen

RULES = {name: {"threshold": -1.0, "for_s": 0.0} for name in ("cpu-high", "memory-high", "storage-high")}
NEWCOMERS = tuple(Identity(bytes((number,)) * 32) for number in range(100, 103))
REGIONS = ("[red]x[/red]", "eu-west", "\u009b31mus-east")
PATIENCE_S = 60.0
GOOD, BAD = Check(Status.HEALTHY, None, "fine"), Check(Status.UNHEALTHY, None, "bad")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    sections = {"alerts": {"rules": RULES}, "report": {"interval_s": 0.5}, "web": {"update_interval_s": 0.2}}
    with running(tmp_path_factory.mktemp("agent"), **sections) as agent:
        agent.loop.call(tell, agent)
        yield agent


def tell(agent: Agent) -> None:
    book, now = Book(agent.monitor.peer.ledger, NEWCOMERS), agent.monitor.snapshot().now
    for number, region in enumerate(REGIONS):
        book.say(number, Profile(("10.0.0.1:1",), region, "1.0", 1_700_000_000_000), at=now)
        book.say(number, Report(600_000, (BAD if number == 1 else GOOD,) * 5, ()), at=now)


def drive(agent: Agent, keys: Callable[[Top, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    async def driving() -> None:
        app = Top(agent.http)
        async with app.run_test(size=(140, 40)) as pilot:
            await until(pilot, lambda: len(app.network.peers) == 4)
            await keys(app, pilot)

    asyncio.run(driving())


async def until(pilot: Pilot[None], truth: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not truth():
            await pilot.pause(0.05)


def column(app: Top, name: str, place: int) -> list[str]:
    table = app.query_one(f"#{name}-table", DataTable)
    return [str(table.get_row_at(row)[place]) for row in range(table.row_count)]


def test_the_overview_and_all_peers_are_shown_the_worst_first(agent: Agent) -> None:
    async def keys(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(column(app, "peers", 1)) == 4)
        assert column(app, "peers", 1)[0] == "■ unhealthy"
        assert "4 peers" in str(app.query_one("#overview", Static).content)
        assert "live" in str(app.query_one("#overview", Static).content)

    drive(agent, keys)


def test_words_of_others_are_neither_markup_nor_commands_to_the_terminal(agent: Agent) -> None:
    async def keys(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(column(app, "peers", 4)) == 4)
        shown = column(app, "peers", 4)
        assert "[red]x[/red]" in shown
        assert not any("\u009b" in text or "\x1b" in text for text in shown)

    drive(agent, keys)


def test_keys_sort_reverse_and_filter(agent: Agent) -> None:
    async def keys(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(column(app, "peers", 0)) == 4)
        for _ in range(len(PEERS.columns) - 1):
            await pilot.press("s")  # on to the last column, then to the first
        names = column(app, "peers", 0)
        assert names == sorted(names)
        await pilot.press("r")
        assert column(app, "peers", 0) == sorted(names, reverse=True)
        await pilot.press("slash", *"eu-west")
        assert column(app, "peers", 4) == ["eu-west"]
        await pilot.press("escape")
        assert len(column(app, "peers", 0)) == 4

    drive(agent, keys)


def test_alerts_and_incidents_have_tables_and_enter_tells_more(agent: Agent) -> None:
    async def keys(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(app.network.alerts) >= 3)
        await pilot.press("2")
        await until(pilot, lambda: "The processor is exhausted" in column(app, "alerts", 1))
        await pilot.press("3")
        await until(
            pilot, lambda: any(row["kind"] == "peer-cluster" for row in app.network.facts["trouble"]["incidents"])
        )
        await until(pilot, lambda: len(column(app, "incidents", 1)) >= 1)
        await pilot.press("1")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one("#detail").has_class("open"))
        assert NEWCOMERS[1].peer_id.hex() in str(app.query_one("#detail", Static).content)

    drive(agent, keys)


def test_the_cursor_stays_on_its_peer_while_the_feed_goes_on(agent: Agent) -> None:
    async def keys(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(column(app, "peers", 0)) == 4)
        await pilot.press("down", "down")
        table = app.query_one("#peers-table", DataTable)
        chosen_one = column(app, "peers", 0)[table.cursor_row]
        seq = app.network.seq or 0
        await until(pilot, lambda: (app.network.seq or 0) > seq + 2)
        await pilot.pause(1.5)
        assert column(app, "peers", 0)[table.cursor_row] == chosen_one

    drive(agent, keys)


def test_a_missing_delta_is_noticed_and_what_was_known_stays() -> None:
    network = NetworkSummary()
    peer = {"n": 3, "peer_id": "aa", "status": "healthy"}
    network.take({"type": "snapshot", "seq": 7, "timestamp": 1.0, "data": {"peers": [peer], "alerts": []}})
    network.take({"type": "changes", "seq": 8, "timestamp": 2.0, "data": {}})
    with pytest.raises(Gap, match="expected message 9, got 10"):
        network.take({"type": "changes", "seq": 10, "timestamp": 3.0, "data": {"peers": {"gone": [3]}}})
    assert network.peers == {"aa": peer}
    assert "connecting" in overview(NetworkSummary(), "connecting").plain


def test_a_terminal_understands_an_agent_of_the_release_before() -> None:
    network, nothing = NetworkSummary(), {"peers": [], "alerts": [], "gone": [], "alerts_gone": []}
    peers = [{"peer_id": name, "status": "healthy", "links": 2} for name in ("aa", "bb")]
    network.take({"type": "snapshot", "seq": 7, "timestamp": 1.0, "data": {"peers": peers, "alerts": []}})
    changed = {"peer_id": "aa", "status": "down"}
    data = nothing | {"peers": [changed], "gone": ["bb"]}
    network.take({"type": "delta", "seq": 8, "timestamp": 2.0, "data": data})
    assert network.peers == {"aa": changed}


def test_what_is_unknown_comes_last_in_either_order() -> None:
    network = NetworkSummary()
    for name, rtt_s in (("a", 0.2), ("b", None), ("c", 0.1)):
        network.peers[name] = {"peer_id": name, "status": "healthy", "rtt_s": rtt_s}
    orders = [[row["peer_id"] for row in chosen(PEERS, network, "", 5, is_reverse)[0]] for is_reverse in (False, True)]
    assert orders == [["c", "a", "b"], ["a", "c", "b"]]


def test_measures_of_all_nodes_have_a_table(agent: Agent) -> None:
    event = {"type": "gauge", "name": "block_height", "value": 912_345, "unit": "blocks"}
    with client(agent) as asking:
        assert asking.post("/api/v1/telemetry", json=event).is_success
        live_until(lambda: "block_height" in asking.get("/api/v1/metrics").text, "the report has the measure")

    async def keys(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: bool(app.network.measures))
        await pilot.press("5")
        await until(pilot, lambda: app.query_one("#measures-table", DataTable).row_count == 1)
        found = [column(app, "measures", place)[0] for place in range(7)]
        del found[1]  # the kind of the node, which its profile has a moment later
        assert found == ["block_height", "blocks", "1", *["912,345"] * 3]

    drive(agent, keys)
