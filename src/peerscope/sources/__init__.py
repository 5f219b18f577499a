"""What this agent can measure by itself."""
