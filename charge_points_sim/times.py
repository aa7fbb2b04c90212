"""Instants of the simulation: whole seconds since 1970, and their form on the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def wire(at: int) -> str:
    """`2019-07-24T12:35:06Z` of epoch seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat()[:19] + "Z"


def epoch(text: str) -> int:
    """Epoch seconds of an ISO 8601 instant; one without a zone is UTC. Raises `ValueError` for anything else."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
