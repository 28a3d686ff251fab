"""The parts of `tillgate dev`: processes, the demo shop, its tour."""
