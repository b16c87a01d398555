"""Tests of ``patient_flow.transforms``, one module each."""
