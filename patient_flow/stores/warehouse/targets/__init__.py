"""One module per database family: connection, DDL, load and SQL dialect."""
