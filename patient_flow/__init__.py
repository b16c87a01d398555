"""Hospital patient flow: from Event Hubs through a Delta lake to a star schema, as Dagster assets."""
