"""Monitoring. Pure: no I/O, no clock, no settings.

``notices`` are what steps and probes report of unusual events.
"""
