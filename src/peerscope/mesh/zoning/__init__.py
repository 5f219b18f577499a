"""Zones: their names, our own, the summaries of others, and lookups across them."""
