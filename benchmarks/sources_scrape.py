"""What one scrape of an exporter with many series costs, in CPU seconds.

    .venv/bin/python benchmarks/sources_scrape.py [--series 50000] [--runs 9] [--src OTHER/src ...]

A server in a process of its own answers a page of so many series, a few of which the preset wants. `scrape_s` is a
whole reading: request, answer, values. `all_wanted_s` is the worst page, on which every line is wanted. `--src` runs
the same with other checkouts, for comparison. Prints JSON; times are medians, and CPU seconds, since wall time would
measure a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.server
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

WANTED = b"""\
ipfs_info{commit="",version="0.43.1"} 1
ipfs_p2p_peers_total{transport="/ip4/tcp"} 12
rpc_outbound_request_latency_milliseconds_sum{message_type="FIND_NODE"} 3.5
rpc_outbound_request_latency_milliseconds_count{message_type="FIND_NODE"} 7
"""
LINE = b'libp2p_rcmgr_previous_peer_streams_bucket{dir="inbound",peer="12D3KooWPh7BF1KXSiM87cKt3fw4%d",le="%d"} %d\n'
ALL_WANTED = b'ipfs_p2p_peers_total{transport="/ip4/tcp",peer="12D3KooWPh7BF1KXSiM87cKt3fw4%d",le="%d"} %d\n'


def page(series: int, line: bytes) -> bytes:
    """A page in the text format; about 120 bytes a line, as in kubo."""
    return WANTED + b"".join(line % (number // 20, number % 20, number) for number in range(series))


def serve(pages: dict[str, bytes], port_to: Connection) -> None:
    """Answer each path with its page, until killed."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = pages[self.path]
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    port_to.send(server.server_port)
    server.serve_forever()


@contextlib.contextmanager
def exporter(series: int) -> Iterator[str]:
    """The address of an exporter."""
    ours, theirs = multiprocessing.Pipe()
    pages = {"/few": page(series, LINE), "/all": page(series, ALL_WANTED)}
    process = multiprocessing.Process(target=serve, args=(pages, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def measured(address: str, runs: int) -> dict[str, float]:
    """Median CPU seconds of a reading of each page."""
    from peerscope.sources.prometheus import PrometheusSource

    found = {}
    for name, path in (("scrape_s", "/few"), ("all_wanted_s", "/all")):
        source = PrometheusSource(f"{address}{path}#kubo")
        times = []
        for _ in range(runs):
            begin = time.process_time()
            asyncio.run(source.read())
            times.append(time.process_time() - begin)
        found[name] = round(statistics.median(times), 4)
    return found


def elsewhere(src: Path, address: str, runs: int) -> dict[str, float]:
    """The same with another checkout, in a process of its own."""
    command = [sys.executable, __file__, "--at", address, "--runs", str(runs)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(src)}, capture_output=True, check=True, text=True
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--src", type=Path, nargs="*", default=[])
    parser.add_argument("--at", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.at:
        print(json.dumps(measured(given.at, given.runs)))
        return
    with exporter(given.series) as address:
        result = {
            "series": given.series,
            "page_mib": round(len(page(given.series, LINE)) / 2**20, 2),
            **measured(address, given.runs),
            **{str(src): elsewhere(src, address, given.runs) for src in given.src},
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
