"""The Delta lake: tables pinned at a version, their changes, and commits that carry rows and checkpoints together."""
