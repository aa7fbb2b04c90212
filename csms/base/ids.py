"""Formats of ids: UUIDv7, short upper-case hex, OCPP 1.6 transaction ids. Randomness is passed in."""

from __future__ import annotations

import re
from uuid import UUID

CHOSEN_ID = re.compile(r"[A-Za-z0-9._-]{1,48}")
"""Ids that clients choose: providers, sites, drivers, tariffs."""

STATION_ID = re.compile(r"[A-Za-z0-9*_=:+|@.-]{1,48}")
"""Ids of stations, as the OCPP specifications and the field have them (quirk Q-H05)."""

OUTLET_TAG = STATION_ID
"""Tags of outlets, as portable chargers read them and report them."""


def uuid7(unix_ms: int, random_80: int) -> UUID:
    """
    A UUIDv7 (RFC 9562) from milliseconds since 1970 and 80 random bits, of which 74 are kept.

    Ids made in one millisecond differ by their random bits alone: 74 of them do not collide.
    """
    value = (unix_ms & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76
    value |= (random_80 >> 68 & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random_80 & 0x3FFFFFFFFFFFFFFF
    return UUID(int=value)


def short_hex(random_64: int) -> str:
    """16 upper-case hex characters: aliases and tokens of remote starts (quirk Q-I06)."""
    return f"{random_64 & 0xFFFFFFFFFFFFFFFF:016X}"


def wire_number(random_31: int) -> int:
    """A positive number below 2^31 for OCPP 1.6 `transactionId`: random, so that nobody guesses another's, never 0."""
    return random_31 % 0x7FFFFFFF + 1


def derived(id_: UUID, place: int) -> UUID:
    """
    Another id for what belongs to `id_` once (its bill, its postings): the same every time it is asked.

    `place` (1 to 255) changes the low bits only, so derived ids keep the time order of UUIDv7.
    """
    assert 0 < place < 256
    return UUID(int=id_.int ^ place)
