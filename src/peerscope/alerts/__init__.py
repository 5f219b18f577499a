"""Conditions worth telling, how they live, who tells people, and what they have in common. Pure."""
