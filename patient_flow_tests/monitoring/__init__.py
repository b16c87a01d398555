"""Rules, alerts and notices."""
