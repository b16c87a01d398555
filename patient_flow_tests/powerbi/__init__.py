"""The Power BI project: its files, its model against the warehouse, its measures against Polars."""
