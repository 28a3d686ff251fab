"""Cash over the counter: settles in our own books, in one write."""
