"""Membership: admission, rings, neighbours, eviction, orders to forget, and shared keys."""
