"""Template: the till scans the customer's code, or the customer scans ours; JSON over HTTP, signed
with a shared key.
"""
