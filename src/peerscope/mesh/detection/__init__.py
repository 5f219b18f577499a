"""From a silent link to a verdict: probes, accusations, refutations, evidence."""
