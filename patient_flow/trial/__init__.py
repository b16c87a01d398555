"""A mapping file tried on samples, and drafted from them, without a hub or a lake. Nothing is written.

Not here: reading files (``files``), and what happens to events in production (``pipeline``), whose code this runs.
"""
