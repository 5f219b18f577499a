"""Exports to other tools: exposition for Prometheus, remote write, service discovery, traces for OpenTelemetry."""
