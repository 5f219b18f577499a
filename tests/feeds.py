"""A client of the live feed that does what docs/reference/feed.md says, and no more; and feeds of imagined networks."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from peerscope.web.alert_content import FeedAlert
from peerscope.web.content import FeedLink, FeedPeer
from peerscope.web.feed_changes import Numbers, Row, table_changes

TABLES = ("peers", "links", "alerts")
Rows = dict[int, dict[str, Any]]
Fields = dict[str, Any]
Moment = dict[str, dict[Any, Fields]]
"""Fields of each row, by table and key."""


class FeedClient:
    """A snapshot, and all changes since."""

    def __init__(self) -> None:
        self.seq: int | None = None
        self.snapshots = 0
        self.facts: dict[str, Any] = {}
        self.tables: dict[str, Rows] = {}

    def take(self, message: dict[str, Any]) -> None:
        data = dict(message["data"])
        if message["type"] == "snapshot":
            self.snapshots += 1
            self.tables = {table: {row["n"]: row for row in data.pop(table)} for table in TABLES}
            self.facts = data
        else:
            assert message["type"] == "changes"
            assert self.seq is not None, "changes before any snapshot"
            assert message["seq"] == self.seq + 1
            for table in TABLES:
                change(self.tables[table], data.pop(table, {}))
            self.facts |= data
        self.seq = message["seq"]

    @property
    def peers(self) -> dict[str, dict[str, Any]]:
        """By id."""
        return {row["peer_id"]: row for row in self.tables["peers"].values()}


def change(rows: Rows, changes: dict[str, Any]) -> None:
    for number in changes.get("gone", ()):
        del rows[number]
    for row in changes.get("new", ()):
        assert row["n"] not in rows, "a number names one row for ever"
        rows[row["n"]] = row
    for field, values in changes.get("fields", {}).items():
        for number, value in values:
            if value is None:
                del rows[number][field]
            else:
                assert rows[number].get(field) != value, "nothing is sent that did not change"
                rows[number][field] = value


def made(table: str, key: Any, number: int, fields: Fields) -> Row:
    match table:
        case "peers":
            return FeedPeer(n=number, peer_id=key, **fields)
        case "links":
            return FeedLink(number, *key, **fields)
        case _:
            return FeedAlert(n=number, id=key, **({"started_at": 0.0} | fields))


def played(history: list[Moment]) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """For each moment: its snapshot, and the changes that lead to it (None for the first), as on the wire."""
    numbers: dict[str, Numbers[Any]] = {table: Numbers() for table in ("peers", "links", "alerts")}
    found: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    before: dict[str, Mapping[Any, Row]] | None = None
    for seq, moment in enumerate(history):
        now: dict[str, Mapping[Any, Row]] = {}
        for table, rows in moment.items():
            now[table] = {key: made(table, key, numbers[table].of(key), fields) for key, fields in rows.items()}
            numbers[table].keep(rows)
        whole = {table: list(rows.values()) for table, rows in now.items()}
        changes = None if before is None else {table: table_changes(before[table], now[table]) for table in now}
        found.append((wire("snapshot", seq, whole), None if changes is None else wire("changes", seq, changes)))
        before = now
    return found


def wire(kind: str, seq: int, data: dict[str, Any]) -> dict[str, Any]:
    sent = {name: value for name, value in data.items() if value is not None}
    message: dict[str, Any] = json.loads(
        msgspec.json.encode({"type": kind, "seq": seq, "timestamp": float(seq), "data": sent})
    )
    return message
