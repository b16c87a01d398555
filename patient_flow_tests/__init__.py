"""Tests: sentences about what the package does, against real files, servers and browsers."""
