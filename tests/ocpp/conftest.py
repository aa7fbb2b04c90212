"""Fixtures of the OCPP edge."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from csms import db
from tests.ocpp.house import Rig


@pytest.fixture
async def rig(pool: db.Pool, dsn: str) -> AsyncIterator[Rig]:
    """A gateway with the road behind it, on the small seeded world; S1 and S2 have `house.KEY`."""
    async with Rig(pool, dsn) as rig:
        yield rig
