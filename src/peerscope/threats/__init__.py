"""Threats: attacks on the network and on the node beside us, found in what peers say and in what the node does."""
