"""A folder for the path of started processes."""
