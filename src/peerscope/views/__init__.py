"""What one sees: pure functions of the ledger and the time. Same ledger, same answer, on every peer."""
