"""The road of a payment, one module a stage.

It decides; the edge, the store and the channels only carry.
"""
