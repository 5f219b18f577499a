"""Measurements over time: series of every known peer and of the network."""
