"""Declarations of the data: event fields, tables, quality rules, measures. No I/O, no clock, no Dagster."""
