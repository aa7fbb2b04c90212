"""Our tables: one file per subject, SQL by name from `db/queries`."""
