"""Load against a gateway on this machine: loopback only, bounded, ended by itself, and every run
closes with a money audit.
"""
