"""What the data is: event fields, tables, quality rules, measures. No I/O, no clock, no Dagster."""
