"""Tests of the forecast models."""
