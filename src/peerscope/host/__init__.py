"""The machine around the agent: files of its state, clock, memory, threads, logs."""
