"""Tests of the source dialects."""
