"""The steps of a micro-batch, against real Delta tables."""
