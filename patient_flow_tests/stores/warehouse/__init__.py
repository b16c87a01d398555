"""Tests of the warehouse on SQLite and PostgreSQL; of the others by what they would be sent."""
