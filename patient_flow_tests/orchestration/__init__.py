"""Dagster: the graph in process, its checks and what starts by itself."""
