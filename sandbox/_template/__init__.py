"""Template: scanned payment, QR code, query, cancel, refund, callback;
JSON signed with a shared key.
"""
