"""Tests of what deploys the project."""
