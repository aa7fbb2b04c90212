"""Cursors: where a list goes on, as text that clients pass back unread."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from csms.api.problems import Problem
from csms.api.shapes import Page
from csms.db import Record

FIRST_UUID, LAST_UUID = UUID(int=0), UUID(int=2**128 - 1)
FIRST_TIME, LAST_TIME = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

Item = TypeVar("Item")


def seal(text: str) -> str:
    """Text as a cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unseal(cursor: str) -> str:
    """The text of a cursor; Problem 400 when it is none of ours."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _not_ours() from None


def after_id(cursor: str | None) -> str:
    """The id that a list by id goes on after."""
    text = "" if cursor is None else unseal(cursor)
    if "\x00" in text:
        raise _not_ours()
    return text


def beside(cursor: str | None, start: tuple[datetime, UUID]) -> tuple[datetime, UUID]:
    """The (time, id) that a list by time goes on from; `start` without a cursor."""
    if cursor is None:
        return start
    try:
        at, id_ = json.loads(unseal(cursor))
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC), UUID(id_)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _not_ours() from None


def page(
    rows: Sequence[Record], limit: int, shape: Callable[[Record], Item], place: Callable[[Record], str]
) -> Page[Item]:
    """The first `limit` of `rows`, which are one more where there is a next page."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[shape(row) for row in shown], next_cursor=seal(place(shown[-1])) if more else None)


def place_in_time(time_column: str) -> Callable[[Record], str]:
    """Where a row of a list by time stands."""
    return lambda row: json.dumps([row[time_column].isoformat(), str(row["id"])])


def _not_ours() -> Problem:
    return Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given")
