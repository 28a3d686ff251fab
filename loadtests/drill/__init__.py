"""The parts of the failover drill; `python -m loadtests.failover` plays it."""
