"""One file a word of the catalogue."""
