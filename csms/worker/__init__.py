"""Work that needs the world outside or the passing of time: the outbox's jobs, and timers."""
