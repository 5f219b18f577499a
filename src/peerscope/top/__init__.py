"""`peerscope top`: the dashboard in a terminal."""
