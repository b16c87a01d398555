"""The star schema in a SQL database: one declaration, five targets, loaded exactly once.

``warehouse`` is the door: create, load, read. ``reconciliation`` compares it with the lake, ``migration`` adapts it to
a changed declaration, ``scripts`` prints DDL and access rules. ``targets`` holds what each database wants its own way.
Nothing here connects, or loads a database driver, before the first statement.
"""
