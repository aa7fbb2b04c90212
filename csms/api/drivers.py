"""Drivers and their tokens."""

from __future__ import annotations

from csms.api import answers
from csms.api.bodies import DriverPatch, NewDriver, NewToken
from csms.api.call import Call
from csms.api.paging import after_id, page
from csms.api.problems import Problem
from csms.api.shapes import Page, Paging
from csms.base.errors import NotFound
from csms.db import SQL, Connection, Record
from csms.flows import drivers


async def add_driver(call: Call) -> answers.Driver:
    """Add a driver."""
    new: NewDriver = call.body
    driver_id = await drivers.add_driver(call.conn, new.id, new.name, call.parts.clock(), new.vehicle_class)
    return await _driver(call.conn, driver_id)


async def list_drivers(call: Call) -> Page[answers.Driver]:
    """Drivers by id."""
    query: Paging = call.query
    rows = await SQL.list_drivers.many(call.conn, after_id(query.cursor), query.limit + 1)
    return page(rows, query.limit, answers.driver, lambda row: str(row["id"]))


async def show_driver(call: Call) -> answers.Driver:
    """One driver."""
    return await _driver(call.conn, call.path["driver"])


async def change_driver(call: Call) -> answers.Driver:
    """Change what is given."""
    patch: DriverPatch = call.body
    given = patch.model_fields_set
    await SQL.change_driver.run(
        call.conn, call.path["driver"], "name" in given, patch.name, patch.status, patch.rest,
        "vehicle_class" in given, patch.vehicle_class,
    )  # fmt: skip
    return await _driver(call.conn, call.path["driver"])


async def put_token(call: Call) -> tuple[int, answers.Token]:
    """Give a driver a token: 201, or 200 when the driver had it."""
    new: NewToken = call.body
    row = await drivers.put_token(call.conn, call.path["driver"], new.value, new.type, new.status, call.parts.clock())
    token = answers.Token(value=row.value, type=row.type, status=row.status, alias=row.alias)
    return 201 if row.is_new else 200, token


async def list_tokens(call: Call) -> Page[answers.Token]:
    """A driver's tokens, in the order of their hashes."""
    query: Paging = call.query
    await _driver(call.conn, call.path["driver"])
    after = after_id(query.cursor)
    try:
        key = bytes.fromhex(after)
    except ValueError:
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None
    rows = await SQL.list_tokens.many(call.conn, call.path["driver"], key, query.limit + 1)
    return page(rows, query.limit, _token, lambda row: bytes(row["key"]).hex())


def _token(row: Record) -> answers.Token:
    """Tokens that people may not see in clear, of which only the hash is kept, are shown without value."""
    return answers.Token(value=row["value"] or "", type=row["type"], status=row["status"], alias=row["alias"])


async def _driver(conn: Connection, driver_id: str) -> answers.Driver:
    row = await SQL.show_driver.one(conn, driver_id)
    if row is None:
        raise NotFound(f"there is no driver {driver_id}")
    return answers.driver(row)
