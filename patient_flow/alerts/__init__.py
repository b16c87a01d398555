"""Alerts as facts and sentences: what is wrong now, what changes with that, how it is said. Pure: no I/O, no clock."""
