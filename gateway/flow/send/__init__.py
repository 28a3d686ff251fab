"""The pay call of an attempt, and the account that follows when a proof allows it."""
