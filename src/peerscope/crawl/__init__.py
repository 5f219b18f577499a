"""Mapping a network from outside: the loops that carry a walk out, on our own wire or by asking somebody else's."""
