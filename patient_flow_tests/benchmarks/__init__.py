"""Measurements, not tests: run by hand, compared side by side within one run. Ratios count, seconds do not."""
