"""One module per database family: how it is connected to, shaped, filled and spoken to."""
