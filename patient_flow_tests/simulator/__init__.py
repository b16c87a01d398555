"""Tests of the hospital simulator."""
