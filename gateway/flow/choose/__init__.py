"""Which channel account takes a payment: rules, health, breakers."""
