"""What runs beside the road: the processes themselves,
and the workers that finish what a payment left open.
"""
