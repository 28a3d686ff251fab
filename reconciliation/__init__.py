"""The nightly comparison of our books with the channels' bills.

Empty until bills are fetched; nothing imports it yet.
"""
