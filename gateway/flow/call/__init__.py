"""One measured call to a channel, at one of its hosts."""
