"""Views: pure functions of the ledger and of time, for people and scripts."""
