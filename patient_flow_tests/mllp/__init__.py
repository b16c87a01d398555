"""Tests of the MLLP receiver."""
