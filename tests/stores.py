"""Real stores for tests: Prometheus and VictoriaMetrics as processes on loopback, Debian's and current releases."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_network import free_address

Need = Callable[[str], str]
READY_S = 60.0
Series = dict[tuple[tuple[str, str], ...], list[tuple[int, float | None]]]
"""Time in milliseconds and value of every sample of a series, by its labels; None for the mark of an end."""


class Store:
    """One store, which may be stopped and started again with its data."""

    def __init__(self, need: Need, state: Path) -> None:
        self.address = free_address()
        self.url = f"http://{self.address}"
        self.state = state
        self._program = need(self.program)
        self._process: subprocess.Popen[bytes] | None = None

    program = ""
    write_path = ""
    ready_path = ""

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def write_url(self) -> str:
        """Where it takes remote write."""
        return self.url + self.write_path

    def start(self) -> None:
        """Until it answers."""
        log = (self.state / f"{self.program}.log").open("ab")
        with log:
            self._process = subprocess.Popen([self._program, *self.command()], stdout=log, stderr=log)
        end = time.monotonic() + READY_S
        while not self._is_ready():
            assert self._process.poll() is None, (self.state / f"{self.program}.log").read_text()[-2000:]
            assert time.monotonic() < end, "it never got ready"
            time.sleep(0.05)

    def stop(self) -> None:
        """As an operator would: what it has taken, it keeps."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def get(self, path: str, **query: str) -> Any:
        """The JSON of one route."""
        return json.loads(self.text(path, **query))

    def text(self, path: str, **query: str) -> str:
        """What one route says."""
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            return str(answer.read().decode())

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression, or the error it meets."""
        found = self.get("/api/v1/query", query=expression)
        assert found["status"] == "success", found
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self.ready_path, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Prometheus(Store):
    """Scrapes what its settings say, and takes remote write."""

    program = "prometheus"
    write_path = "/api/v1/write"
    ready_path = "/-/ready"

    def command(self) -> list[str]:
        config = self.state / "prometheus.yml"
        if not config.exists():
            config.write_text("global: {scrape_interval: 1s}\n")
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.state}/prometheus",
            f"--web.listen-address={self.address}",
            "--web.enable-remote-write-receiver",
        ]

    def samples(self, match: str) -> Series:
        """All samples of the series that match, raw."""
        found: Series = {}
        for one in self.query(f"{match}[1h]"):
            labels = tuple(sorted(one["metric"].items()))
            found[labels] = [(round(at * 1000), float(value)) for at, value in one["values"]]
        return found


class VictoriaMetrics(Store):
    """Takes remote write."""

    program = "victoria-metrics"
    write_path = "/api/v1/write"
    ready_path = "/health"

    def command(self) -> list[str]:
        return [
            f"-storageDataPath={self.state}/victoria",
            f"-httpListenAddr={self.address}",
            "-memory.allowedBytes=100MB",
            "-retentionPeriod=1y",
        ]

    def samples(self, match: str) -> Series:
        """All samples of the series that match, raw."""
        self.text("/internal/force_flush")
        found: Series = defaultdict(list)
        for line in self.text("/api/v1/export", **{"match[]": match}).splitlines():
            one = json.loads(line)
            labels = tuple(sorted(one["metric"].items()))
            found[labels] += list(zip(one["timestamps"], one["values"], strict=True))
        return {labels: sorted(samples, key=lambda sample: sample[0]) for labels, samples in found.items()}


class CurrentPrometheus(Prometheus):
    """Of `make interop-tools`."""

    program = "prometheus-3"

    def command(self) -> list[str]:
        return [*super().command(), "--web.enable-otlp-receiver"]


class CurrentVictoriaMetrics(VictoriaMetrics):
    """Of `make interop-tools`."""

    program = "victoria-metrics-1"


CURRENT = (CurrentPrometheus, CurrentVictoriaMetrics)
STORES: dict[str, type[Prometheus] | type[VictoriaMetrics]] = {
    "prometheus": Prometheus,
    "victoria-metrics": VictoriaMetrics,
}
