"""Files of events, as hospitals export them."""
