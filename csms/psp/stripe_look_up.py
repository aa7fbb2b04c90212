"""Looking things up at Stripe: by our order where Stripe lists by a key of ours, else among the newest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import stripe

from csms.psp import stripe_answers as answers
from csms.psp.base import Found, Kind, Statement, Unavailable
from csms.psp.stripe_answers import FAILURES, noted
from csms.psp.stripe_wire import Wire

PAGE = 100
LOOK_BACK_MAX = 1_000
"""So many of the newest things are looked through for one that Stripe lists by no key of ours."""

SEARCHABLE_AFTER_S = 900.0
"""Stripe's search knows a thing a minute after it was made, in bad hours later; until then only lists do."""

OLDER = "not among the newest"


async def get(wire: Wire, kind: Kind, ref: str) -> Found:
    """By `metadata.order` or the transfer group; payments and chargebacks by Stripe's id."""
    try:
        return await _found(wire, kind, ref)
    except FAILURES as error:
        if isinstance(error, stripe.StripeError) and error.http_status == 404 and error.error is not None:
            return Found("missing")
        return Found("unknown", reason=answers.ended(error).reason)


async def transfers(wire: Wire, order: str) -> list[stripe.Transfer]:
    """All transfers of a group."""
    listed = wire.v1.transfers.list_async
    return (await wire.call("get", lambda: listed({"transfer_group": order, "limit": PAGE}))).data


async def statement(wire: Wire, day: date) -> Statement | Unavailable:
    """The movements of our Stripe balance on `day` (UTC)."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    created: Any = {"gte": int(begin.timestamp()), "lt": int((begin + timedelta(days=1)).timestamp())}
    listed = wire.v1.balance_transactions.list_async
    try:
        first = await wire.call(
            "statement", lambda: listed({"created": created, "limit": PAGE, "expand": ["data.source"]})
        )
        return Statement(day, tuple([answers.line(moved) async for moved in first.auto_paging_iter()]))
    except FAILURES as error:
        return Unavailable(answers.ended(error).reason or "no answer")


async def _found(wire: Wire, kind: Kind, ref: str) -> Found:
    v1 = wire.v1
    match kind:
        case "hold" | "charge":
            return await _intent_of(wire, ref)
        case "stored":
            return await _newest(wire, lambda: v1.setup_intents.list_async({"limit": PAGE}), ref, answers.found_setup)
        case "refund":
            return await _newest(wire, lambda: v1.refunds.list_async({"limit": PAGE}), ref, answers.found_refund)
        case "settlement":
            return await _settlement(wire, ref)
        case "payout":
            made = await transfers(wire, ref)
            return answers.found_payout(made[0]) if made else Found("missing")
        case "payment":
            one = v1.payment_intents.retrieve_async
            return answers.found_intent(await wire.call("get", lambda: one(ref, {"expand": ["latest_charge"]})))
        case "chargeback":
            return answers.found_dispute(await wire.call("get", lambda: v1.disputes.retrieve_async(ref)))


async def _intent_of(wire: Wire, order: str) -> Found:
    """A PaymentIntent by its order: among the newest, older ones by Stripe's search."""
    made = wire.v1.payment_intents
    expand = ["data.latest_charge"]
    found = await _newest(wire, lambda: made.list_async({"limit": PAGE, "expand": expand}), order, answers.found_intent)
    if found.reason != OLDER:
        return found
    query = f"metadata['order']:'{order}'"
    listed = await wire.call("get", lambda: made.search_async({"query": query, "limit": 1, "expand": expand}))
    return answers.found_intent(listed.data[0]) if listed.data else Found("missing")


async def _newest(
    wire: Wire, ask: Callable[[], Awaitable[stripe.ListObject[Any]]], order: str, read: Callable[[Any], Found]
) -> Found:
    """
    The thing made for `order` among the newest that Stripe lists.

    `unknown` with the reason OLDER: it is not among those made lately, and there are others before.
    """
    young = wire.wall() - SEARCHABLE_AFTER_S
    count = 0
    async for thing in (await wire.call("get", ask)).auto_paging_iter():
        if answers.order_of(thing) == order:
            return read(thing)
        count += 1
        if count >= PAGE and thing.created < young:
            return Found("unknown", reason=OLDER)
        if count >= LOOK_BACK_MAX:
            return Found("unknown", reason="too many were made lately")
    return Found("missing")


async def _settlement(wire: Wire, order: str) -> Found:
    """The charge that is marked with the order, and whether its transfers are all there."""
    charges = wire.v1.charges.list_async
    marked = (await wire.call("get", lambda: charges({"transfer_group": order, "limit": 1}))).data
    if not marked:
        return Found("missing")
    fee, own = int(noted(marked[0], "fee") or 0), int(noted(marked[0], "own") or 0)
    paid = sum(transfer.amount for transfer in await transfers(wire, order))
    if paid + own != fee:
        return Found("unknown", reason=f"{paid} of {fee - own} are paid")
    return Found("settled", order, fee, currency=marked[0].currency.upper())
