"""Everything a channel is: one folder a channel, beside the contract (`channel`), the seam to the
network (`transport`) and `discovery`.
"""
