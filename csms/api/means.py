"""Means of payment that drivers store at payment services. The number of a card is refused, wherever it stands."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import StringConstraints, model_validator

from csms.api.call import Call, Route, connection, system
from csms.api.paging import FIRST_UUID, after_id, page
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, ChosenId, Moment, Page, Paging
from csms.base.errors import NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain.card_number import has_card_number
from csms.flows import means
from csms.psp.base import Denied

Text = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
TOKEN_LENGTH_MAX = 8_192


class NewMeans(Body):
    """
    Means at `psp`: whom it calls `subject`, by the names of `issuer` (without: its own names).

    A driver may name only itself; or send a `token` of the psp, which says who it is.
    """

    psp: ChosenId
    subject: Text | None = None
    issuer: Text | None = None
    token: Annotated[str, StringConstraints(min_length=1, max_length=TOKEN_LENGTH_MAX)] | None = None
    label: Label

    @model_validator(mode="before")
    @classmethod
    def _no_card(cls, value: Any) -> Any:
        """Before anything else looks at it: what is refused here is neither stored nor told again."""
        if _has_card(value):
            raise ValueError("this looks like a card number, which is not taken here: store the card at the psp")
        return value


class Means(Answer):
    """Stored means of payment."""

    id: str
    driver: str
    psp: str
    issuer: str
    subject: str
    label: str
    created_at: Moment


def _has_card(value: Any) -> bool:
    """In any name or value, at any depth."""
    match value:
        case dict():
            return any(_has_card(part) for pair in value.items() for part in pair)
        case list():
            return any(_has_card(part) for part in value)
        case None | bool():
            return False
        case _:
            return has_card_number(str(value))


async def add_means(call: Call) -> tuple[int, Means]:
    """Add means of payment for a driver: 201, or 200 with the new label when they are there already."""
    new: NewMeans = call.body
    psp = call.parts.psps.get(new.psp)
    async with connection(call.parts) as conn:
        driver_id = await _known(conn, call)
        own = None
        if call.client.driver is not None and new.subject is not None and new.token is None:
            own = await means.issuer_of_own(conn, driver_id, new.subject, new.issuer)
    if psp is None:
        raise Refused(f"there is no payment service {new.psp} here", "/psp")
    wanted = await _wanted(call, new, own)
    async with system(call.parts) as conn:
        means_id, is_new = await means.add(conn, driver_id, wanted, call.parts.clock())
        row = await SQL.show_means.one(conn, means_id, driver_id)
    return 201 if is_new else 200, _means(row)


async def _wanted(call: Call, new: NewMeans, own: str | None) -> means.Means:
    """The means as they may be stored: whose they are is said by the psp, by the driver's identity, or by staff."""
    if new.token is not None:
        found = await call.parts.psps[new.psp].verify_token(new.token, "")
        if isinstance(found, Denied):
            raise Refused("the payment service does not know this token", "/token")
        if new.subject not in (None, found.subject):
            raise Refused("this token is another subject's", "/subject")
        return means.Means(found.psp, found.issuer, found.subject, new.label)
    if new.subject is None:
        raise Refused("name the subject at the psp, or send a token of the psp", "/subject")
    if call.client.driver is not None and own is None:
        raise Problem(403, f"that you are {new.subject} is not known here: send a token of {new.psp}")
    return means.Means(new.psp, own or new.issuer or new.psp, new.subject, new.label)


async def list_means(call: Call) -> Page[Means]:
    """A driver's means of payment."""
    query: Paging = call.query
    driver_id = await _known(call.conn, call)
    after = FIRST_UUID if query.cursor is None else _uuid(after_id(query.cursor))
    rows = await SQL.list_means.many(call.conn, driver_id, after, query.limit + 1)
    return page(rows, query.limit, _means, lambda row: str(row["id"]))


async def drop_means(call: Call) -> None:
    """Take means away: nothing new is paid by them. What is under way is still paid."""
    async with connection(call.parts) as conn:
        driver_id = await _known(conn, call)
        if await SQL.show_means.one(conn, UUID(call.path["means"]), driver_id) is None:
            raise NotFound("there are no such means")
    async with system(call.parts) as conn:
        await means.drop(conn, driver_id, UUID(call.path["means"]))


async def _known(conn: Connection, call: Call) -> str:
    """The driver in the address, whom the client may know of."""
    driver_id = call.path["driver"]
    if await SQL.show_driver.one(conn, driver_id) is None:
        raise NotFound(f"there is no driver {driver_id}")
    return driver_id


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


def _means(row: Record) -> Means:
    names = ("psp", "issuer", "subject", "label", "created_at")
    return Means(id=str(row["id"]), driver=row["driver_id"], **{name: row[name] for name in names})


SEE = ("drivers:read", "driver:self")
WRITE = ("drivers:write", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/drivers/{driver}/payment-means", add_means, WRITE, "Add stored means of payment for a driver", Means,
        NewMeans, status=201, or_else=200, connects=False,
    ),
    Route(
        "GET", "/drivers/{driver}/payment-means", list_means, SEE, "List a driver's means of payment", Page[Means],
        query=Paging,
    ),
    Route(
        "DELETE", "/drivers/{driver}/payment-means/{means}", drop_means, WRITE, "Take means of payment away",
        status=204, connects=False,
    ),
)  # fmt: skip
