"""WeChat Pay API v3: codepay, native, query, reverse, close, refunds, certificates,
encrypted callbacks.
"""
