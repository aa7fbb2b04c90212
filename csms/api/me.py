"""What drivers have beside staff's routes: their sessions and money in one place, and being forgotten."""

from __future__ import annotations

from dataclasses import replace

from csms.api.call import Call, Route
from csms.api.ledger import Account, AccountQuery, show_account
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.session_answers import Bill, Session, bill, session
from csms.api.shapes import Answer, Moment, Page, Paging
from csms.base.errors import NotFound
from csms.db import SQL
from csms.domain.ledger import driver_balance
from csms.flows.erase import erase

SEE = ("drivers:read", "driver:self")
CHANGE = ("drivers:write", "driver:self")


class Erasure(Answer):
    """When it was forgotten who this driver is."""

    driver: str
    erased_at: Moment


async def list_driver_sessions(call: Call) -> Page[Session]:
    """A driver's sessions, the newest first."""
    query: Paging = call.query
    driver = await _known(call)
    place = beside(query.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_sessions.many(call.conn, query.limit + 1, *place, None, None, driver, None, None, None)
    return page(rows, query.limit, session, place_in_time("opened_at"))


async def list_driver_bills(call: Call) -> Page[Bill]:
    """A driver's bills, the newest first."""
    query: Paging = call.query
    driver = await _known(call)
    place = beside(query.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_bills.many(call.conn, query.limit + 1, *place, None, None, driver, None, None)
    return page(rows, query.limit, bill, place_in_time("issued_at"))


async def list_driver_transactions(call: Call) -> Account:
    """A driver's balance per currency and what moved it, the latest first."""
    address = driver_balance(await _known(call))
    if not await SQL.account_known.value(call.conn, address):
        return Account(address=address, balances=[], opening=None, closing=None, items=[], next_cursor=None)
    return await show_account(replace(call, path={"address": address}))


async def erase_driver(call: Call) -> Erasure:
    """
    Forget who a driver is: name, identities, tokens. Bills and the ledger keep the id, which then names nobody.

    409 while a session, a payment or a refund is under way, or a balance or debt is not 0.
    """
    driver = await _known(call)
    return Erasure(driver=driver, erased_at=await erase(call.conn, driver, call.parts.clock()))


async def _known(call: Call) -> str:
    """The driver in the address, whom the client may know of."""
    driver = call.path["driver"]
    if await SQL.show_driver.one(call.conn, driver) is None:
        raise NotFound(f"there is no driver {driver}")
    return driver


ROUTES = (
    Route(
        "GET", "/drivers/{driver}/sessions", list_driver_sessions, SEE, "List a driver's sessions", Page[Session],
        query=Paging,
    ),
    Route("GET", "/drivers/{driver}/bills", list_driver_bills, SEE, "List a driver's bills", Page[Bill], query=Paging),
    Route(
        "GET", "/drivers/{driver}/transactions", list_driver_transactions, SEE, "List what moved a driver's balance",
        Account, query=AccountQuery,
    ),
    Route("POST", "/drivers/{driver}/erasure", erase_driver, CHANGE, "Forget who a driver is", Erasure),
)  # fmt: skip
