"""The page "What if": the forecast of a hospital, or of all, beside the same model with measures taken.

The model is fitted to the stays of all hospitals in the warehouse, up to the hour of the newest forecast.
"""
