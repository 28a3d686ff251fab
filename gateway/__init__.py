"""Tillgate: the payment aggregation gateway."""
