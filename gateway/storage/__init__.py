"""Where payments are kept: PostgreSQL decides, Redis saves work."""
