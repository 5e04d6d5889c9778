"""minisegnet."""
