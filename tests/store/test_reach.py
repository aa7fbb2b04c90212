"""Which errors say that the database is away, so that the asker is told to come back later."""

from __future__ import annotations

import asyncpg
import pytest

from csms.store.reach import is_unavailable


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"), True),
        (asyncpg.AdminShutdownError("terminating connection"), True),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), True),
        (asyncpg.UniqueViolationError("duplicate key"), False),
        (asyncpg.DataError("invalid input for query argument"), False),
        (ValueError(), False),
    ],
)
def test_a_broken_connection_is_told_from_a_wrong_statement(error: Exception, away: bool) -> None:
    assert is_unavailable(error) is away
