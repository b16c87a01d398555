"""Files into the lake and back out of it."""
