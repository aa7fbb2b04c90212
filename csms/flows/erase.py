"""A driver's person is forgotten; what was charged and paid stays, under an id that names nobody."""

from __future__ import annotations

import re
from datetime import datetime

from csms.base.errors import NotFound, Refused
from csms.db import SQL, Connection

ME = "me"
"""What a driver calls itself in an address, so no driver has it as id."""

_SEPARATORS = re.compile(r"[._-]")
PERSONAL_DIGITS = range(9, 16)
"""So many digits and nothing else are the number of a telephone or of a person."""


def check_pseudonym(driver_id: str) -> None:
    """
    Refused when a chosen id tells who its driver is.

    Bills and the ledger keep a driver's id for ever, so it must be a name without a person from the
    beginning. Only what is plain can be seen here: a number of a telephone or of a person.
    """
    if driver_id == ME:
        raise Refused("`me` is what a driver calls itself; choose another id, or none", "/id")
    digits = _SEPARATORS.sub("", driver_id)
    if digits.isdecimal() and len(digits) in PERSONAL_DIGITS:
        raise Refused("this looks like a person's number, and an id stays in the ledger; choose another", "/id")


async def erase(conn: Connection, driver_id: str, now: datetime) -> datetime:
    """
    Remove what tells who a driver is, once; answers when that was.

    The database refuses it (CS409, answered 409) while something is unfinished: a session, a payment or
    refund under way, a balance, a debt.
    """
    erased_at: datetime | None = await SQL.erase_driver.value(conn, driver_id, now)
    if erased_at is None:
        raise NotFound(f"there is no driver {driver_id}")
    return erased_at
