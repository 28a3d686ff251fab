"""Alipay OpenAPI v2 (gateway.do): barcode, order QR, query, cancel, close, refund, notify; RSA2,
keys or certificates.
"""
