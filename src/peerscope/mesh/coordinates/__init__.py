"""Network coordinates: round-trip times of pairs that never measured each other."""
