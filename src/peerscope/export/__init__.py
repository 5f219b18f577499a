"""What other tools get: exposition for Prometheus, remote write, service discovery, traces for OpenTelemetry."""
