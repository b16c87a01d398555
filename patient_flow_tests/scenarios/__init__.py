"""Hospital days through the whole of silver and gold, held against the oracle."""
