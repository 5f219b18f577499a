"""How records spread: gossip, anti-entropy, and the scope of each kind."""
