"""Time as a value: formats of instants, and the type of a clock. The clocks themselves live at the edge."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Answers the system's present instant, aware and in UTC."""


def rfc3339(at: datetime) -> str:
    """`2026-11-20T15:04:05Z`: whole seconds and a `Z`, the only form every station understands (quirk Q-K04)."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_ms(at: datetime) -> str:
    """`2026-11-20T15:04:05.123Z`: the form for REST and reports."""
    at = at.astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
