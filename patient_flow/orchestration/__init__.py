"""The only code that knows Dagster: resources, assets, checks, sensors. What they do stands in ``pipeline``."""
