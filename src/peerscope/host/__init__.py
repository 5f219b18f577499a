"""What the agent needs of its machine: files of its state, clock, memory, threads, logs."""
