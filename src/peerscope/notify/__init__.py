"""Notifying people: channels, and what carries messages to them."""
