"""Mapping a network from outside, without joining it."""
