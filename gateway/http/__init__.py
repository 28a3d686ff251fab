"""The edge: bytes in, bytes out, no decisions. A stranger starts at `routes.py`."""
