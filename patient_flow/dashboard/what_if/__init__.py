"""The page "What if": the forecast of a hospital beside the same model with measures taken.

The model runs on the stays of the hospital in the warehouse, up to the hour of the newest forecast.
"""
