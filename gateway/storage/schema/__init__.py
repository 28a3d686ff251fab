"""The schema: its migrations and their runner."""
