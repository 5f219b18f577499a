"""Sources of P2P programs, one file for each program, and the table of how to find them."""
