"""Signed statements of peers, and the ledger that keeps the newest of each."""
