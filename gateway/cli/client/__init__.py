"""A signed client for people's commands."""
