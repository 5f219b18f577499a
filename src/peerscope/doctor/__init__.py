"""What is wrong with one agent and its machine, and what to do about it."""
