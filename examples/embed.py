"""A Python program that is its own peer: no second process beside it.

    python examples/embed.py [--join TICKET] [--seconds 10]

The program tells what it does through `monitor.telemetry`, and reads what the network knows. It needs the
wheel without any extra.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from peerscope import Config, Monitor


async def main() -> None:
    """Join, work for a while, tell what one sees, leave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--join", metavar="TICKET", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    # `environment={}`: the settings are this program's, not those of an agent that happens to be configured here.
    config = Config.load(environment={}, options={"peer": {"join": options.join}, "node": {"name": "example"}})
    with tempfile.TemporaryDirectory() as state:  # a program of yours keeps its state, and with it its id
        async with Monitor(config, Path(state)) as monitor:
            monitor.listen(lambda event: print(event["event"], event.get("peer_id", "")))
            print("others join with", monitor.self_view().ticket, flush=True)
            telemetry = monitor.telemetry
            for number in range(max(1, int(options.seconds))):
                if number == 0:
                    telemetry.connection_opened(remote="192.0.2.7:4001", rtt_s=0.021)
                telemetry.message("in", 1_400, latency_s=0.004)
                await asyncio.sleep(1.0)
            health = monitor.network_health()
            print(f"{health.total_peers} peers, {health.healthy_peers} healthy")


if __name__ == "__main__":
    asyncio.run(main())
