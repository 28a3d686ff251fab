"""Work that Redis saves. It decides nothing."""
