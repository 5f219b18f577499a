"""Decentralised monitoring for peer-to-peer networks: open any peer and see the whole network."""

__version__ = "0.1.0"
