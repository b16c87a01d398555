"""A code location that executes nothing."""

import dagster as dg

defs = dg.Definitions()
