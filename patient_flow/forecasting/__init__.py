"""The forecast models: pure functions on frames and arrays. Which rows they get is decided in ``pipeline.forecast``.

``beds`` projects the patients in bed and those still to come, ``series`` forecasts a series of counts or of occupied
beds without patients, ``distributions`` turns means and variances into quantiles, ``scores`` compares forecasts with
outcomes. Everything is deterministic: the same input gives the same forecast, to the bit.
"""
