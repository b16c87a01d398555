"""What is judged: figures in, finding out. Pure: it knows neither the lake nor Dagster, neither clock nor settings.

``catalogue`` names every check and says what to do; the other modules judge. ``pipeline.inspection`` fetches what they
are given: what the warehouse has not loaded yet for a micro-batch, the whole history for the nightly audit.
"""
