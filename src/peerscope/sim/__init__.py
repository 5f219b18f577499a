"""A virtual network around the very core that real agents run: one seed, one history."""
