"""Threats: attacks on the network and on the monitored node, found in records and in the activity of the node."""
