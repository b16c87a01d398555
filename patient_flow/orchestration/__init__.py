"""The only code that imports Dagster: resources, assets, checks, sensors. Their work is done in ``pipeline``."""
