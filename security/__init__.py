"""Keys, signatures, secrets at rest, redaction and roles: everything that must be right before
anything is trusted.
"""
