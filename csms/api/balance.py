"""A driver's money: top-ups, refunds, what is kept or sent back, what tokens may spend, debts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api import answers
from csms.api.bodies import NewTopUp
from csms.api.call import Call, Route, connection, idempotency_key, system
from csms.api.paging import after_id, page
from csms.api.problems import Problem
from csms.api.session_answers import Session, session
from csms.api.shapes import Answer, Body, Moment, Money, MoneyBody, Page, Paging, money
from csms.base.errors import Conflict, NotFound
from csms.db import SQL, Connection, Record
from csms.domain.events import RestChosen
from csms.flows import budgets, refund_rest, top_up
from csms.flows.budgets import Budget, Period
from csms.flows.idempotency import once
from csms.flows.through import through

SEE = ("drivers:read", "driver:self")
WRITE = ("drivers:write", "driver:self")
LIMIT = ("drivers:write",)
REFUND = ("refund:create", "driver:self")
SEE_DEBTS = ("reports:read", "settlement:read", "drivers:read")
LIMITS_MAX = 20
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Balance(Answer):
    """A driver's money in one currency: to spend, set aside for running uses, owed, on its way back."""

    balance: Money
    held: Money
    debt: Money
    refunding: Money


class Balances(Answer):
    """A driver's money, one entry per currency, and what happens to what a session leaves over."""

    driver: str
    rest: str
    balances: list[Balance]


class NewRefund(Body):
    """How much of the balance goes back to the means it came from."""

    amount: MoneyBody
    reason: Reason = "asked for"


class RefundPart(Answer):
    """What goes back of one payment."""

    id: str
    psp: str
    amount: Money


class BalanceRefund(Answer):
    """Money on its way back: a part for each payment that it came from, newest first."""

    driver: str
    amount: Money
    parts: list[RefundPart]


class RestChoice(Body):
    """What happens to money that was set aside and not spent: it stays in the balance, or goes back."""

    rest: Literal["keep", "refund"]


class DriverRest(Answer):
    """A driver's choice for sessions that say nothing else."""

    driver: str
    rest: str


class NewLimit(Body):
    """At most `amount` in one session, or in each day, week (from Monday) or month of a time zone."""

    period: Period
    amount: MoneyBody
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=60)] = "UTC"


class NewLimits(Body):
    """All limits of a token; an empty list takes them away."""

    limits: list[NewLimit] = Field(max_length=LIMITS_MAX)


class Limit(Answer):
    """A limit of a token, and what of it is used or set aside in the running period (none for `session`)."""

    period: str
    amount: Money
    used: Money
    time_zone: str


class Limits(Answer):
    """What a token may spend of its driver's balance; no limit: all of it."""

    driver: str
    token: str
    limits: list[Limit]


class Debt(Answer):
    """What a driver owes, and how far asking for it has come: noticed, retrying, listed for people; null: not yet."""

    driver: str
    owed: Money
    state: str | None
    attempts: int | None
    since: Moment | None
    noticed_at: Moment | None
    next_at: Moment | None


async def show_balance(call: Call) -> Balances:
    """A driver's money per currency."""
    driver_id = await _known(call.conn, call)
    rest = await SQL.rest_of.value(call.conn, driver_id)
    rows = await SQL.driver_money.many(call.conn, driver_id)
    pending = {row["currency"]: row["minor"] for row in await SQL.refunds_pending.many(call.conn, driver_id)}
    found = [
        Balance(
            balance=money(row["balance"], row["asset"]),
            held=money(row["held"], row["asset"]),
            debt=money(row["debt"], row["asset"]),
            refunding=money(pending.pop(row["asset"], 0), row["asset"]),
        )
        for row in rows
    ]
    return Balances(driver=driver_id, rest=rest, balances=found)


async def add_top_up(call: Call) -> tuple[int, answers.TopUp]:
    """
    Put a payment into a driver's balance: 201, or 200 when it is there already.

    A payment service that is set up here has to confirm the payment. For any other name (`cash`,
    `bank`) staff vouch with their scope; a driver cannot.
    """
    new: NewTopUp = call.body
    key = idempotency_key(call.request)
    amount = new.amount.read("/amount")
    found = await top_up.look_up(call.parts.psps, new.psp, new.payment_ref)
    if found is None and call.client.driver is not None:
        raise Problem(403, f"{new.psp} is no payment service here: only staff can vouch for such a payment")

    async with _acting(call) as (conn, driver_id):

        async def work() -> tuple[int, object]:
            top_up.check(found, driver_id, amount, new.payment_ref)
            is_new = await top_up.fund(conn, driver_id, amount, new.psp, new.payment_ref, call.parts.clock())
            answer = answers.TopUp(
                driver=driver_id, psp=new.psp, payment_ref=new.payment_ref, amount=money(amount.minor, amount.currency)
            )
            return 201 if is_new else 200, answer.model_dump(mode="json")

        status, told = await once(conn, call.client.id, key, _asked(call), work)
    return status, answers.TopUp.model_validate(told)


async def refund_balance(call: Call) -> BalanceRefund:
    """Send part of a balance back to the means it came from: all that is asked, or nothing."""
    new: NewRefund = call.body
    key = idempotency_key(call.request)
    amount = new.amount.read("/amount")
    if amount.minor <= 0:
        raise Problem(422, "a refund is above 0", [{"pointer": "/amount", "detail": "above 0"}])
    async with _acting(call) as (conn, driver_id):

        async def work() -> tuple[int, object]:
            wish = refund_rest.Wish(
                f"refund-balance/{call.client.id}/{key}", driver_id, amount, list(call.parts.psps), new.reason,
                call.client.id, whole=True,
            )  # fmt: skip
            parts = await refund_rest.send_back(conn, wish, call.parts.clock())
            told = [
                RefundPart(id=str(part.id), psp=part.psp, amount=money(part.minor, amount.currency)) for part in parts
            ]
            answer = BalanceRefund(driver=driver_id, amount=money(amount.minor, amount.currency), parts=told)
            return 201, answer.model_dump(mode="json")

        _, told = await once(conn, call.client.id, key, _asked(call), work)
    return BalanceRefund.model_validate(told)


async def put_driver_rest(call: Call) -> DriverRest:
    """Choose what happens to what sessions leave over, unless one says otherwise."""
    choice: RestChoice = call.body
    async with _acting(call) as (conn, driver_id):
        await SQL.choose_rest.run(conn, driver_id, choice.rest)
    return DriverRest(driver=driver_id, rest=choice.rest)


async def put_session_rest(call: Call) -> Session:
    """Choose it for one session, until it is settled: then 409."""
    choice: RestChoice = call.body
    session_id = UUID(call.path["session"])
    async with connection(call.parts) as conn:
        row = await SQL.show_session.one(conn, session_id)
    if row is None:
        raise NotFound("there is no such session")
    chosen = RestChosen(row["station_id"], row["ref"], call.parts.clock(), choice.rest)
    outcome = await through(call.parts.submit, chosen)
    if outcome.status != "accepted":
        raise Conflict(outcome.reason or "the session is settled")
    async with connection(call.parts) as conn:
        return session(await SQL.show_session.one(conn, session_id))


async def put_limits(call: Call) -> Limits:
    """Limit what a token may spend of its driver's balance; sessions that run keep what is set aside."""
    new: NewLimits = call.body
    driver_id = await _known(call.conn, call)
    wanted = [
        Budget(limit.period, limit.amount.read(f"/limits/{place}/amount"), limit.time_zone)
        for place, limit in enumerate(new.limits)
    ]
    await budgets.put_budgets(call.conn, driver_id, call.path["token"], wanted)
    return await show_limits(call)


async def show_limits(call: Call) -> Limits:
    """What a token may spend, and what it has spent."""
    driver_id = await _known(call.conn, call)
    rows = await budgets.list_budgets(call.conn, driver_id, call.path["token"], call.parts.clock())
    found = [
        Limit(
            period=row["period"],
            amount=money(row["limit_minor"], row["currency"]),
            used=money(row["used_minor"], row["currency"]),
            time_zone=row["time_zone"],
        )
        for row in rows
    ]
    return Limits(driver=driver_id, token=call.path["token"], limits=found)


async def list_debts(call: Call) -> Page[Debt]:
    """Drivers who owe something, by driver."""
    query: Paging = call.query
    driver_id, _, currency = after_id(query.cursor).partition("/")
    rows = await SQL.debts.many(call.conn, driver_id, currency, query.limit + 1)
    return page(rows, query.limit, _debt, lambda row: f"{row['driver_id']}/{row['currency']}")


def _debt(row: Record) -> Debt:
    names = ("state", "attempts", "since", "noticed_at", "next_at")
    owed = money(row["owed_minor"], row["currency"])
    return Debt(driver=row["driver_id"], owed=owed, **{name: row[name] for name in names})


async def _known(conn: Connection, call: Call) -> str:
    """The driver in the address, whom the client may know of."""
    driver_id = call.path["driver"]
    if await SQL.show_driver.one(conn, driver_id) is None:
        raise NotFound(f"there is no driver {driver_id}")
    return driver_id


@asynccontextmanager
async def _acting(call: Call) -> AsyncIterator[tuple[Connection, str]]:
    """
    A transaction that may change the money of the driver in the address, and that driver.

    What drivers ask for themselves the system does for them, once it is sure that it is their own.
    """
    async with connection(call.parts) as conn:
        driver_id = await _known(conn, call)
        if call.client.driver is None:
            yield conn, driver_id
            return
    async with system(call.parts) as conn:
        yield conn, driver_id


def _asked(call: Call) -> str:
    """The request in words, to tell its repeat from another one under the same key."""
    return f"{call.request.method} {call.request.path}\n{call.body.model_dump_json()}"


ROUTES = (
    Route("GET", "/drivers/{driver}/balance", show_balance, SEE, "Show a driver's money", Balances),
    Route(
        "POST", "/drivers/{driver}/top-ups", add_top_up, WRITE, "Put a payment into a driver's balance",
        answers.TopUp, NewTopUp, status=201, or_else=200, moves_money=True, connects=False,
    ),
    Route(
        "POST", "/drivers/{driver}/refunds", refund_balance, REFUND,
        "Send part of a balance back to where it came from", BalanceRefund, NewRefund, status=201, moves_money=True,
        connects=False,
    ),
    Route(
        "PUT", "/drivers/{driver}/rest", put_driver_rest, WRITE, "Keep or refund what sessions leave over", DriverRest,
        RestChoice, connects=False,
    ),
    Route(
        "PUT", "/sessions/{session}/rest", put_session_rest, WRITE, "Keep or refund what one session leaves over",
        Session, RestChoice, connects=False,
    ),
    Route(
        "PUT", "/drivers/{driver}/tokens/{token}/limit", put_limits, LIMIT, "Limit what a token may spend", Limits,
        NewLimits,
    ),
    Route(
        "GET", "/drivers/{driver}/tokens/{token}/limit", show_limits, SEE, "Show what a token may spend", Limits,
    ),
    Route("GET", "/debts", list_debts, SEE_DEBTS, "List what drivers owe", Page[Debt], query=Paging),
)  # fmt: skip
"""Every address of a driver's money."""
