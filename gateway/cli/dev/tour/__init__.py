"""The tour of `tillgate dev`: one small file a subject, played through the public API, proved by
the sandbox's own ledger.
"""
