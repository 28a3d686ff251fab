"""The channel sandbox: servers that speak the real wire protocols and keep their own ledger.

Imports nothing of the gateway.
"""
