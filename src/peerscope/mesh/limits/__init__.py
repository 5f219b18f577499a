"""What one neighbour may cost: rates, and the reputation of those that misbehave."""
