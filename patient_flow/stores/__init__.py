"""One outside system per module: hub, lake, warehouse. Plain classes with verbs; no Dagster, no transforms."""
