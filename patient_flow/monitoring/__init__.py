"""Monitoring: one catalogue of rules, and what becomes of their findings. Pure: no I/O, no clock, no settings.

``catalogue`` lists every rule, ``rules`` evaluates them on ``inputs``, ``alert_state`` decides which alerts open, get
worse and resolve, ``messages`` words them. ``orchestration.checks`` runs rules as asset checks,
``orchestration.alert_sensor`` watches continuously, and the dashboard shows the thresholds that matter to its readers.
"""
