"""The live dashboard: one server-rendered page over the warehouse, its CSV export and its health."""
