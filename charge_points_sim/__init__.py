"""Simulated stations and the world around them: what a person needs to see `csms` at work. Never imports `csms`."""
