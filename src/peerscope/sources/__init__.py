"""Measurements of this host and of the P2P node beside the agent."""
