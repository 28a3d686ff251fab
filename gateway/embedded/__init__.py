"""Launchers for the PostgreSQL and Redis that come in wheels: real servers, no installation, for
laptops and tests.
"""
