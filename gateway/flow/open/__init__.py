"""What happens before a byte leaves: is the request known, may it open, and write 1."""
