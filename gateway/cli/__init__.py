"""The `tillgate` command: one thin module a command, listed in catalogue.py and imported only when
it is asked for.
"""
