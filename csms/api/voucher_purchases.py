"""Vouchers that were offered, bought for a vehicle: from the balance, by stored means, or by a social payment."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import RootModel, StringConstraints

from csms.api import offer_tokens
from csms.api.call import Call, Reply, Route, idempotency_key, system
from csms.api.offer_tokens import TOKEN_LENGTH_MAX
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, ChosenId
from csms.api.voucher_offers import ASK, proven_vehicle
from csms.api.vouchers import Voucher, voucher
from csms.base.errors import CsmsError, Refused
from csms.db import SQL, Record
from csms.domain.authorization import Ask
from csms.flows import purchases
from csms.flows.idempotency import first_answer, once
from csms.flows.purchases import Bought, Expired, Payer, Wish
from csms.flows.vouchers import NotEnough
from csms.psp.base import Denied

PSP_S_MAX = 10.0
"""How long whoever buys waits for a psp; what is still open then is finished by a job."""


class ByMeans(Body):
    """By stored means of the driver (`/drivers/{driver}/payment-means`)."""

    means: Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]


class BySocial(Body):
    """By a token of a payment service, which says who pays."""

    psp: ChosenId
    token: Annotated[str, StringConstraints(min_length=1, max_length=8_192)]


class Purchase(Body):
    """Which offer is taken, by its signed form or its id, and what pays for it."""

    offer: Annotated[str, StringConstraints(min_length=1, max_length=TOKEN_LENGTH_MAX)]
    pay: Literal["balance"] | ByMeans | BySocial = "balance"


class PendingPurchase(Answer):
    """The payment service has not said yet whether it took the money; the voucher follows if it did. Ask again."""

    state: Literal["pending"] = "pending"
    payment: str


class Purchased(RootModel[Voucher | PendingPurchase]):
    """The voucher, or (202) that it is being paid."""


async def buy_offered(call: Call) -> Reply:
    """
    Buy an offered voucher at its price: 410 when the offer is over, 409 for what was not offered or is sold out.

    One offer buys one voucher: 409 names it in `voucher`. 402 when it is not paid. While a payment service has not
    decided 202: ask again with the same key, or see the driver's vouchers.
    """
    new: Purchase = call.body
    key = idempotency_key(call.request)
    row = await proven_vehicle(call, call.parts.clock())
    wish = Wish(offer_tokens.read(call.parts.access, new.offer), row["id"], f"{call.client.id}\n{key}")
    try:
        if new.pay == "balance":
            return await _from_balance(call, key, wish)
        return await _through_psp(call, key, wish, row["driver_id"])
    except CsmsError as error:
        raise _problem(error) from None


async def _from_balance(call: Call, key: str, wish: Wish) -> Voucher:
    async with system(call.parts) as conn:

        async def work() -> tuple[int, object]:
            row = await purchases.from_balance(conn, wish, call.parts.clock())
            return 201, voucher(row).model_dump(mode="json")

        _, told = await once(conn, call.client.id, key, _asked(call), work)
    return Voucher.model_validate(told)


async def _through_psp(call: Call, key: str, wish: Wish, driver_id: str) -> Reply:
    async with system(call.parts) as conn:
        first = await first_answer(conn, call.client.id, key, _asked(call))
    if first is not None:
        return Voucher.model_validate(first[1])
    payer = await _payer(call, driver_id)
    psp = call.parts.psps[payer.psp]
    async with system(call.parts) as conn:
        found = await purchases.begin(conn, wish, payer, psp.caps, call.parts.clock())
    if not isinstance(found, Ask):
        return await _kept(call, key, found)
    answer = await purchases.asked(call.parts.psps[found.psp], found, PSP_S_MAX)
    payment_id = found.authorization_id
    match answer.end:
        case "done" if answer.psp_ref is not None:
            async with system(call.parts) as conn:
                row = await purchases.taken(conn, payment_id, answer.psp_ref, call.parts.clock())
            if isinstance(row, CsmsError):
                raise Problem(409, f"{row}; what was paid is in the driver's balance")
            return await _kept(call, key, row)
        case "declined" | "our_fault":
            async with system(call.parts) as conn:
                await purchases.declined(conn, payment_id, answer.reason or answer.end, call.parts.clock())
            raise Problem(402, f"{found.psp} did not take the price", members={"error": "NoCredit"})
    return 202, PendingPurchase(payment=str(payment_id))


async def _payer(call: Call, driver_id: str) -> Payer:
    """Who pays at which psp; Problem 402 for a token that is nobody's."""
    pay = call.body.pay
    if isinstance(pay, ByMeans):
        async with system(call.parts) as conn:
            row = await SQL.show_means.one(conn, UUID(pay.means), driver_id)
        if row is None:
            raise Refused("the driver has no such means of payment", "/pay/means")
        found = Payer(row["psp"], row["issuer"], row["subject"])
        if found.psp not in call.parts.psps:
            raise Refused(f"there is no payment service {found.psp} here", "/pay/means")
        return found
    if pay.psp not in call.parts.psps:
        raise Refused(f"there is no payment service {pay.psp} here", "/pay/psp")
    verified = await call.parts.psps[pay.psp].verify_token(pay.token, "")
    if isinstance(verified, Denied):
        raise Problem(402, "the payment service does not know this token", members={"error": "NoCredit"})
    return Payer(verified.psp, verified.issuer, verified.subject)


async def _kept(call: Call, key: str, row: Record) -> Voucher:
    """The answer of a purchase that is done, kept for who asks again."""

    async def work() -> tuple[int, object]:
        return 201, voucher(row).model_dump(mode="json")

    async with system(call.parts) as conn:
        _, told = await once(conn, call.client.id, key, _asked(call), work)
    return Voucher.model_validate(told)


def _asked(call: Call) -> str:
    """The request in words, to tell its repeat from another one under the same key."""
    return f"POST {call.request.path}\n{call.body.model_dump_json()}"


def _problem(error: CsmsError) -> CsmsError:
    match error:
        case Expired():
            return Problem(410, str(error))
        case Bought():
            return Problem(409, str(error), members={"voucher": str(error.voucher_id)})
        case NotEnough():
            return Problem(402, str(error), members={"error": "NoCredit"})
    return error


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/vehicles/{vehicle}/vouchers", buy_offered, ASK, "Buy a voucher that was offered", Purchased,
        Purchase, status=201, or_else=202, moves_money=True, connects=False, refuses=(402, 410),
    ),
)  # fmt: skip
