"""Rate limits of neighbours, and their reputation."""
