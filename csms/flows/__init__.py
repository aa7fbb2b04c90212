"""Use cases: load, decide, save, for a batch of reports or one request, in one database transaction."""
