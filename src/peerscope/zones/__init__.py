"""Networks beyond one zone: what aggregators say of theirs, and what follows for the whole. Pure."""
