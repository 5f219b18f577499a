"""Measurements of virtual machines: typical values, and those that a scenario makes bad."""

from __future__ import annotations

from msgspec.structs import replace

from peerscope.mesh.detection.checks import HealthConfig, judge, quantised
from peerscope.mesh.events import Measured
from peerscope.records.measures import AgentMetrics, Metrics, PerformanceMetrics, SystemMetrics
from peerscope.sim.node import Machine

TYPICAL = Metrics(
    SystemMetrics(1_200, 3_500_000, 16_000_000, 80_000_000, 250_000_000, 9_000_000, 4_000_000, 60_000, 40_000, 25),
    None,
    PerformanceMetrics(24_000, 12, 4_500),
    AgentMetrics(110, 62_000, 0, 40, 3_500),
)
"""Every peer reports this of its machine. Virtual ones have none, but reports have to be as long as real ones."""


def measured(
    node: Machine,
    health: HealthConfig,
    cpu_ratio: float | None,
    memory_ratio: float | None,
    error_ratio: float | None,
) -> Measured:
    """The measurement of a machine that is so busy, so full, or has so many failing messages; None: as usual."""
    good, metrics = judge(0.1, health.cpu, ""), TYPICAL
    intact = judge(0.0, health.network, "")
    checks = (good, good, good, intact)
    if cpu_ratio is not None:
        busy = judge(cpu_ratio, health.cpu, f"{cpu_ratio:.0%} busy")
        checks = (busy, good, good, intact)
        metrics = replace(TYPICAL, system=replace(TYPICAL.system, cpu=quantised(cpu_ratio)))
    if memory_ratio is not None:
        full = judge(memory_ratio, health.memory, f"{memory_ratio:.0%} used")
        used_kib = round(memory_ratio * (metrics.system.memory_total_kib or 0))
        checks = (checks[0], full, good, intact)
        metrics = replace(metrics, system=replace(metrics.system, memory_used_kib=used_kib))
    if error_ratio is not None:
        metrics = replace(metrics, performance=replace(metrics.performance, error=quantised(error_ratio)))
    return Measured(checks, metrics, None if node.node_id is None else good, node.overlay)
