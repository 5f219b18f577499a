"""Who belongs to the network, who is whose neighbour, and who may join."""
