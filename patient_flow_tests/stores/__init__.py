"""Tests of the stores, each with the real thing behind it."""
