"""Maps a network from outside: the loops that run a walk, over our own protocol or another network's."""
