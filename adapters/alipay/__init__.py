"""Alipay face to face (当面付): the till scans the customer's code, or the customer scans ours.

Gateway v2, RSA2.
"""
