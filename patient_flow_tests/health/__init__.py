"""Rules of health: what holds and what breaks."""
