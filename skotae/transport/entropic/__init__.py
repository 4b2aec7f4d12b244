"""The engine of entropic transport: what is multiplied, how it is solved, the values."""
