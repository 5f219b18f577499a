"""An agent whose state directory holds garbage starts, says so once for each file, and keeps the damaged ones."""

import asyncio
from pathlib import Path

import pytest

from live import came_true, settings
from peerscope import Monitor
from peerscope.history.schema import FILE
from peerscope.host.credentials import REVOKED_FILE
from peerscope.host.damaged_files import MARK, damaged_files
from peerscope.host.state import NOTICES_FILE, ORDERS_FILE, PEERS_FILE, VERSION_FILE, ZONE_FILE, StateDirectory

FILES = (FILE, NOTICES_FILE, ORDERS_FILE, PEERS_FILE, REVOKED_FILE, VERSION_FILE, ZONE_FILE)
GARBAGE = b"\xff\xfe garbage \x00" * 300


@pytest.mark.e2e
def test_an_agent_starts_on_damaged_files_and_the_next_start_finds_nothing_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = StateDirectory(tmp_path).secret()
    for name in FILES:
        (tmp_path / name).write_bytes(GARBAGE)

    def told() -> list[str]:
        return sorted(
            str(record.args[0])
            for record in caplog.records
            if record.name == "peerscope.host.damaged_files" and isinstance(record.args, tuple)
        )

    async def start() -> None:
        channel = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
        async with Monitor(settings(notify={"channels": {"ops": channel}}), tmp_path) as monitor:
            assert monitor.recorder is not None
            await came_true(lambda: len(told()) == len(FILES), "all are found")
            await came_true(lambda: (tmp_path / FILE).exists(), "the history begins anew")

    for _ in range(2):
        asyncio.run(start())
        assert told() == [str(tmp_path / name) for name in FILES]
    kept = {place.name.partition(MARK)[0]: place.read_bytes() for place in damaged_files(tmp_path)}
    assert kept == dict.fromkeys(FILES, GARBAGE)
    assert StateDirectory(tmp_path).secret() == secret
