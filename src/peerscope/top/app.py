"""The screen of `peerscope top`: the overview, five tables, and the details of the chosen row."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from peerscope.cli.api import ask
from peerscope.cli.text import counted
from peerscope.errors import ApiError
from peerscope.top.feed import NetworkSummary, follow
from peerscope.top.tables import SEVERITIES, TABLES, Row, Table, cells, chosen, latency, marked, plain

REDRAW_S = 1.0
"""Time between updates of a table. A thousand rows take a while."""
DETAIL_CELLS = 200
MEASURES_S = 10.0
"""Time between requests for measures, which are not part of the feed."""


class Top(App[None]):
    """Follows one agent until the user leaves."""

    CSS = "\n".join(
        (
            "#overview { height: auto; padding: 0 1; background: $surface; }",
            "#filter { display: none; height: 3; }",
            "#filter.open { display: block; }",
            "#detail { height: auto; max-height: 12; padding: 0 1; display: none; background: $surface; }",
            "#detail { overflow-y: auto; }",
            "#detail.open { display: block; }",
            "Screen { overflow: hidden; }",
            "TabbedContent, ContentSwitcher, TabPane, DataTable { height: 1fr; }",
            "TabPane { padding: 0; }",
        )
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(place + 1), f"show('{table.name}')", table.title) for place, table in enumerate(TABLES)),
        Binding("s", "sort", "Sort by next"),
        Binding("r", "reverse", "Reverse"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "close", "Close"),
        Binding("q", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "peerscope top"

    def __init__(self, api: str, token: str = "", ca: str | None = None) -> None:
        super().__init__()
        self.network = NetworkSummary()
        self.words = ""
        """Words that rows must contain."""
        self._agent = (api, token, ca)
        self._state = "connecting"
        self._sorting = {table.name: (table.sort, False) for table in TABLES}
        self._is_stale = False
        self._rows = ""
        self._following: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="overview")
        yield Input(placeholder="words that a row must contain", id="filter")
        with TabbedContent():
            for table in TABLES:
                with TabPane(table.title, id=table.name):
                    yield DataTable(id=f"{table.name}-table", cursor_type="row", zebra_stripes=True)
        yield Static(id="detail")
        yield Footer()

    def on_mount(self) -> None:
        following = follow(*self._agent, self.network, news=self._on_news, state=self._on_state)
        self._following = asyncio.create_task(following)
        self._asking = asyncio.create_task(self._ask_for_measures())
        self.set_interval(REDRAW_S, self._redraw)
        self._grid().focus()
        self._draw()

    async def on_unmount(self) -> None:
        tasks = [task for task in (self._following, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # waits until the connection is closed

    async def _ask_for_measures(self) -> None:
        api, token, _ = self._agent
        while True:
            try:
                found = await asyncio.to_thread(ask, api, token, "/api/v1/metrics")
                self.network.measures = list(found.get("measures", ()))
                self._is_stale = True
            except ApiError:
                pass  # the feed says that the agent does not answer
            await asyncio.sleep(MEASURES_S)

    # -- keys ------------------------------------------------------------------------------------

    def action_show(self, name: str) -> None:
        """Show one of the tables."""
        self.query_one(TabbedContent).active = name
        self._grid().focus()
        self._draw()

    def action_sort(self) -> None:
        """Sort by the next column."""
        table = self._table()
        column, _ = self._sorting[table.name]
        self._sorting[table.name] = ((column + 1) % len(table.columns), False)
        self._draw()

    def action_reverse(self) -> None:
        """Reverse the order."""
        column, is_reverse = self._sorting[self._table().name]
        self._sorting[self._table().name] = (column, not is_reverse)
        self._draw()

    def action_filter(self) -> None:
        """Open the filter."""
        self.query_one("#filter", Input).add_class("open").focus()

    def action_close(self) -> None:
        """Close the detail if it is open, else the filter."""
        detail = self.query_one("#detail")
        if detail.has_class("open"):
            detail.remove_class("open")
        else:
            self.query_one("#filter", Input).remove_class("open").clear()
        self._grid().focus()

    # -- events ----------------------------------------------------------------------------------

    def on_input_changed(self, event: Input.Changed) -> None:
        self.words = event.value
        self._draw()

    def on_input_submitted(self) -> None:
        self._grid().focus()

    def on_tabbed_content_tab_activated(self) -> None:
        self._draw()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        table = self._table()
        row = next((row for row in table.rows(self.network) if str(row[table.key]) == event.row_key.value), None)
        if row is not None:
            self.query_one("#detail", Static).update(_facts(row))
            self.query_one("#detail").add_class("open")

    # -- inside ----------------------------------------------------------------------------------

    def _on_news(self) -> None:
        is_first = not self.query_one("#overview", Static).has_class("filled")
        self._is_stale = True
        if is_first:
            self.query_one("#overview").add_class("filled")
            self._redraw()

    def _on_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._update_overview()

    def _redraw(self) -> None:
        if self._is_stale:
            self._draw()

    def _table(self) -> Table:
        name = self.query_one(TabbedContent).active or TABLES[0].name
        return next(table for table in TABLES if table.name == name)

    def _grid(self) -> DataTable[Any]:
        return self.query_one(f"#{self._table().name}-table", DataTable)

    def _draw(self) -> None:
        """Fill the visible table again and keep the cursor on its row."""
        self._is_stale = False
        table, grid = self._table(), self._grid()
        column, is_reverse = self._sorting[table.name]
        rows, found = chosen(table, self.network, self.words, column, is_reverse)
        keys = [str(row[table.key]) for row in rows]
        under = grid.coordinate_to_cell_key(grid.cursor_coordinate).row_key.value if grid.row_count else None
        top = grid.scroll_y
        grid.clear(columns=True)
        arrow = "▼" if is_reverse else "▲"
        for place, one in enumerate(table.columns):
            grid.add_column(f"{one.title} {arrow}" if place == column else one.title)
        for key, row in zip(keys, rows, strict=True):
            grid.add_row(*cells(table, row, self.network.timestamp), key=key)
        if under in keys:
            grid.move_cursor(row=keys.index(under), scroll=False)
            grid.scroll_to(y=top, animate=False)
        shown = f"{len(rows)} of {found}" if found > len(rows) else str(found)
        words = plain(self.words, 40)
        self._rows = f"{shown} {table.title.lower()}" + (f" with {words!r}" if words else "")
        self._update_overview()

    def _update_overview(self) -> None:
        self.query_one("#overview", Static).update(overview(self.network, self._state, self._rows))


def overview(network: NetworkSummary, state: str, rows: str = "") -> Text:
    """The network in two lines. `rows`: summary of the table."""
    me, health = network.facts.get("self"), network.facts.get("health")
    if me is None or health is None:
        return Text(f"peerscope  {state}")
    firing = network.facts.get("trouble", {}).get("firing", {})
    alerts = [
        Text.assemble(marked(severity), f" {firing[severity]}") for severity in SEVERITIES if firing.get(severity)
    ]
    counts = [
        Text.assemble(marked(status), f" {health[f'{status}_peers']}")
        for status in ("healthy", "degraded", "unhealthy", "unknown", "down")
    ]
    simulated = " SIMULATED" if me.get("simulation") else ""
    named = plain(me["network"], 40)
    first = [Text(f"{named}{simulated}", "bold"), Text(counted(health["total_peers"], "peer")), *counts]
    connectivity = health["connectivity"]
    linked = "–" if connectivity is None else f"{connectivity:.1%}"
    second = [
        Text("alerts", "dim"),
        *(alerts or [Text("none", "dim")]),
        Text(f"connectivity {linked}"),
        Text(f"median RTT {latency(health['median_latency_s'])}"),
        Text(f"through {me['short_id']}", "dim"),
        Text(state, "green" if state == "live" else "yellow"),
        Text(rows, "dim"),
    ]
    return Text("\n").join(Text("  ").join(parts) for parts in (first, second))


def _facts(row: Row) -> Text:
    """All fields of one row in the feed."""
    fields = [(name, value) for name, value in row.items() if value is not None and not isinstance(value, list | dict)]
    width = max(len(name) for name, _ in fields)
    return Text("\n").join(
        Text.assemble((f"{name:<{width}}  ", "dim"), plain(_readable(name, value), DETAIL_CELLS))
        for name, value in fields
    )


def _readable(name: str, value: object) -> str:
    """Format times."""
    if name.endswith(("_at", "_since")) and isinstance(value, int | float):
        return datetime.fromtimestamp(value).isoformat(" ", "seconds")
    return str(value)
