"""
Vouchers that were offered, bought: once each, at the price that was offered, from the balance or through a psp.

Through a psp the money goes into the driver's balance first, and the voucher is bought from there. What is asked is
written down before the psp is called, and looked after by a job whatever becomes of whoever asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from csms.base.errors import Conflict, CsmsError, Refused
from csms.base.money import Money, decimal_text
from csms.db import SQL, Connection, Record
from csms.domain import errand, vehicle
from csms.domain.authorization import Ask
from csms.flows import top_up, vouchers
from csms.flows.authorize import answered
from csms.flows.books import new_id
from csms.flows.vouchers import NotEnough
from csms.psp.base import Answer, Caps, Found, Psp
from csms.store import outbox

JOB = "voucher.pay"
JOB_AFTER = timedelta(seconds=30)
"""So long whoever asked has the psp for themselves."""

PAID_AGE = timedelta(hours=1)
"""So much longer its price stands for whoever has paid it."""


class Expired(CsmsError):
    """The offer was made too long ago."""


class NotOffered(Conflict):
    """There is no such offer of this vehicle."""


class Bought(Conflict):
    """The offer has bought a voucher already, which `voucher_id` names."""

    def __init__(self, voucher_id: UUID) -> None:
        super().__init__(f"this offer has bought the voucher {voucher_id} already; ask again for another one")
        self.voucher_id = voucher_id


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays at a psp."""

    psp: str
    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Wish:
    """An offer that is taken for a vehicle (None offer: nothing that we ever offered)."""

    offer_id: UUID | None
    vehicle_id: UUID
    request: str
    """Client and Idempotency-Key."""

    @property
    def digest(self) -> bytes:
        """By which a repeat is known for the same request."""
        return hashlib.sha256(self.request.encode()).digest()


async def from_balance(conn: Connection, wish: Wish, now: datetime) -> Record:
    """
    Buy an offered voucher from the balance; in the caller's transaction.

    NotOffered, Expired, Bought; Conflict where it is sold out or its driver blocked; NotEnough.
    """
    offer = await _offer(conn, wish)
    if offer["voucher_id"] is not None:
        return await _voucher_of(conn, offer, wish, now)
    if offer["payment_state"] == "asking":
        raise Conflict("this offer is being paid through a payment service; wait for it")
    _in_time(offer, now)
    return await _bought(conn, offer, now)


async def begin(conn: Connection, wish: Wish, payer: Payer, caps: Caps, now: datetime) -> Ask | Record:
    """
    Write down that a psp is asked for the price, and answer what it is asked; in a transaction of its own.

    Whoever asks again before it is decided asks the same. Answers the voucher where this request has bought it.
    """
    offer = await _offer(conn, wish)
    if offer["voucher_id"] is not None:
        return await _voucher_of(conn, offer, wish, now)
    if offer["payment_state"] == "asking":
        return ask_of(await SQL.show_voucher_payment.one(conn, offer["payment_id"]))
    _in_time(offer, now)
    if offer["payment_state"] == "taken" or offer["price_minor"] == 0:
        return await _bought(conn, offer, now)
    _check_caps(caps, offer)
    await _sold(conn, offer, now)
    owed = await SQL.owed.value(conn, offer["driver_id"], offer["currency"])
    if owed > 0:
        amount = f"{decimal_text(owed, offer['currency'])} {offer['currency']}"
        raise Conflict(f"{amount} are owed, which any payment settles first; put that much into the balance before")
    payment_id = new_id()
    await SQL.add_voucher_payment.run(
        conn, payment_id, offer["id"], offer["driver_id"], payer.psp, payer.issuer, payer.subject,
        offer["price_minor"], offer["currency"], now, wish.digest,
    )  # fmt: skip
    payload = json.dumps({"payment": str(payment_id)})
    await SQL.add_later_job.run(
        conn, payment_id, JOB, f"voucher-payment/{payment_id}", f"driver/{offer['driver_id']}", payload, JOB_AFTER
    )
    return ask_of(await SQL.show_voucher_payment.one(conn, payment_id))


def _check_caps(caps: Caps, offer: Record) -> None:
    price = f"{decimal_text(offer['price_minor'], offer['currency'])} {offer['currency']}"
    fits = offer["currency"] in caps.currencies and offer["price_minor"] >= caps.amount_minor_min
    if not fits or "pay_before_refund_rest" not in caps.policies:
        raise Refused(f"this payment service cannot take {price}", "/pay")


async def asked(psp: Psp, ask: Ask, s_max: float) -> Answer:
    """
    What the psp says within `s_max` seconds, asked under the payment's one key; no transaction may be open meanwhile.

    An answer that was lost is looked for (`get`). `unknown` and `retryable`: it may be taken later, the job goes on.
    `unknown`, too, where the psp found fault with us and does not say in time whether it took the price all the same.
    """
    try:
        answer = await asyncio.wait_for(answered(psp, ask, s_max), s_max)
    except TimeoutError:
        answer = Answer("unknown", reason="no answer in time")
    if answer.end not in ("unknown", "our_fault"):
        return answer
    try:
        found = await asyncio.wait_for(psp.get("hold", str(ask.authorization_id)), s_max)
    except TimeoutError:
        return Answer("unknown", reason=answer.reason)
    match found:
        case Found("taken", str(psp_ref), amount_minor) if amount_minor == ask.amount_minor:
            return Answer("done", psp_ref)
        case Found("declined", reason=reason):
            return Answer("declined", reason=reason)
        case Found("missing"):
            return answer
    return Answer("unknown", reason=answer.reason)


def ask_of(payment: Record | None) -> Ask:
    """What the psp is asked; the station of a voucher is none."""
    assert payment is not None, "a payment is never removed"
    return Ask(
        payment["id"], "", payment["psp"], payment["issuer"], payment["subject"], payment["amount_minor"],
        payment["currency"], "pay_before_refund_rest",
    )  # fmt: skip


async def taken(conn: Connection, payment_id: UUID, psp_ref: str, now: datetime) -> Record | CsmsError:
    """
    The psp took the price: it goes into the balance, and the voucher is bought from there, once.

    In the caller's transaction. Where the voucher cannot be bought any more the money stays in the balance, and the
    answer says why.
    """
    offer = await SQL.lock_offer_of_payment.one(conn, payment_id)
    payment = await SQL.show_voucher_payment.one(conn, payment_id)
    assert offer is not None and payment is not None, "neither is ever removed"
    refused = await _refusal(conn, offer, now)
    if payment["state"] != "taken":
        money = Money(payment["amount_minor"], payment["currency"])
        await top_up.fund(conn, payment["driver_id"], money, payment["psp"], psp_ref, now)
        await SQL.decide_voucher_payment.run(conn, payment_id, "taken", psp_ref, None, now)
    if offer["voucher_id"] is not None:
        return await vouchers.show(conn, offer["driver_id"], offer["voucher_id"], now)
    if refused is not None:
        return refused
    try:
        async with conn.transaction():
            return await _bought(conn, offer, now)
    except (Conflict, NotEnough) as error:
        return error


async def _refusal(conn: Connection, offer: Record, now: datetime) -> CsmsError | None:
    """
    Why the voucher cannot be bought any more.

    What is locked to know it is locked before the balance is, as by whoever buys without a psp.
    """
    if offer["voucher_id"] is not None:
        return None
    try:
        async with conn.transaction():
            await _sold(conn, offer, now)
    except Conflict as error:
        return error
    return None


async def _sold(conn: Connection, offer: Record, now: datetime) -> None:
    """Conflict where what was offered cannot be sold now."""
    await vouchers.sold(
        conn, offer["driver_id"], offer["product_id"], now, offer["product_version"], vehicle_key=_key_of(offer)
    )


def _key_of(offer: Record) -> bytes | None:
    """Of the token that its vehicle shows; None also where its driver has it no more."""
    return vehicle.shown(offer["vehicle_kind"], offer["vehicle_key"])


async def declined(conn: Connection, payment_id: UUID, reason: str, now: datetime) -> None:
    """The psp said no; the offer may be taken again."""
    await SQL.lock_offer_of_payment.one(conn, payment_id)
    await SQL.decide_voucher_payment.run(conn, payment_id, "declined", None, reason[:200], now)


async def _offer(conn: Connection, wish: Wish) -> Record:
    """The offer, locked: of two that take it one is first."""
    row = None
    if wish.offer_id is not None and await SQL.lock_offer.value(conn, wish.offer_id) is not None:
        row = await SQL.show_offer.one(conn, wish.offer_id)
    if row is None or row["vehicle_id"] != wish.vehicle_id:
        raise NotOffered("this was not offered for this vehicle; ask for offers first")
    return row


def _in_time(offer: Record, now: datetime) -> None:
    """Expired when an offer is over; one that was paid for, and could not be had, a while later."""
    if offer["valid_until"] + (PAID_AGE if offer["payment_state"] == "taken" else timedelta()) <= now:
        raise Expired("this offer is over; ask for offers again")


async def _voucher_of(conn: Connection, offer: Record, wish: Wish, now: datetime) -> Record:
    """The voucher that this very request has paid; Bought for any other."""
    if offer["payment_request"] is None or bytes(offer["payment_request"]) != wish.digest:
        raise Bought(offer["voucher_id"])
    return await vouchers.show(conn, offer["driver_id"], offer["voucher_id"], now)


async def _bought(conn: Connection, offer: Record, now: datetime) -> Record:
    """The voucher, which will be handed to the station where it was asked for, if it was at one."""
    voucher_id = new_id()
    row = await vouchers.buy(
        conn, voucher_id, offer["driver_id"], offer["product_id"], now, offer["product_version"],
        vehicle_key=_key_of(offer),
    )  # fmt: skip
    await SQL.take_offer.run(conn, offer["id"], voucher_id)
    if offer["station_id"] is not None:
        await outbox.insert_errands(conn, [errand.deliver(voucher_id, offer["id"], offer["station_id"])])
    return row
