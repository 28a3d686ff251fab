"""Pure: no I/O, no clock, no asyncio.

What a payment is, what may happen to it, and what we say about it.
"""
