"""The steps of a micro-batch, one per table: read what is new, transform it, commit rows and progress together.

Here the stores meet the transforms; Dagster is not known. Every step may be run at any time, alone, twice, or by two
processes at once: what it does follows from the lake alone.
"""
