"""The star schema in a SQL database: one declaration, five targets, loaded exactly once.

``warehouse`` is the entry point: create, load, read. ``reconciliation`` compares it with the lake, ``migration``
adapts it to a changed declaration, ``scripts`` prints DDL and access rules. ``targets`` has one module per database.
Nothing here connects, or loads a database driver, before the first statement.
"""
