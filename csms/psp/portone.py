"""
The adapter of PortOne (Kakao Pay, Naver Pay, Toss Pay, LINE Pay behind one API), by PortOne's own SDK.

PortOne takes no idempotency key. What makes each effect one effect is the id that we choose: a payment's id is
our order, a transfer's id is our payout, and a refund is looked for among its payment's cancellations first.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeVar

from aiohttp import ClientSession
from httpx import HTTPError
from portone_server_sdk import PaymentClient, TransferClient, errors
from portone_server_sdk.common import CustomerInput, PageInput, PaymentAmountInput
from portone_server_sdk.payment.billing_key import BillingKeyFilterInput, IssuedBillingKeyInfo

from csms import observe
from csms.domain.authorization import Ask
from csms.psp import portone_answers as answers
from csms.psp.base import (
    Answer,
    Caps,
    Charge,
    Denied,
    Event,
    Found,
    Kind,
    Payout,
    Refund,
    SettlementMessage,
    Statement,
    Unavailable,
    Unverified,
    VerifiedToken,
)
from csms.psp.breaker import Breaker
from csms.psp.portone_answers import FAILURES, Resting
from csms.psp.tokens import TokenVerifier

API = "https://api.portone.io"
ORDER_NAME = "Charging"

CAPS = Caps(
    hold=False,
    partial_capture=False,
    stored_token=True,
    split_remit=False,
    currencies=frozenset({"KRW", "JPY", "USD"}),
    amount_minor_min=100,
    hold_s_max=0,
    payout=True,
    policies=frozenset({"charge_after", "pay_before_refund_rest"}),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PortOneSettings:
    """
    Who we are at PortOne. `webhook_secrets` sign what it sends; two while one takes the other's place.

    Tokens of `issuer` name a PortOne customer id as their subject; without it no token is PortOne's.
    """

    secret: str = field(repr=False)
    store: str | None = None
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    issuer: str | None = None
    audience: str = "csms"
    name: str = "portone"
    url: str = API


class PortOne:
    """The `Psp` named `settings.name`. Made inside a running event loop; `close` it there."""

    caps = CAPS

    def __init__(
        self,
        settings: PortOneSettings,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._wall = wall
        self._monotonic = monotonic
        self._payments = PaymentClient(secret=settings.secret, base_url=settings.url, store_id=settings.store)
        self._transfers = TransferClient(secret=settings.secret, base_url=settings.url, store_id=settings.store)
        self._breaker = Breaker(monotonic)
        self._verifier: TokenVerifier | None = None
        if settings.issuer is not None:
            self._http = ClientSession()
            self._verifier = TokenVerifier(
                self._http,
                psp=self.name,
                issuer=settings.issuer,
                audience=settings.audience,
                wall=wall,
                monotonic=monotonic,
            )

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """By the configured issuer's keys."""
        if self._verifier is None:
            return Denied("no issuer of tokens is set for PortOne")
        return await self._verifier.verify(token)

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """The customer's newest billing key; with `pay_before_refund_rest` a payment by it."""
        if ask.policy == "hold_capture":
            return Answer("our_fault", reason="PortOne holds nothing")
        wanted = BillingKeyFilterInput(
            store_id=self._settings.store, customer_id=ask.subject, status=["ISSUED"]
        )  # fmt: skip
        listed = self._payments.billing_key.get_billing_key_infos_async
        try:
            page = PageInput(number=0, size=1)
            found = await self._call("authorize", lambda: listed(page=page, filter=wanted))
        except FAILURES as error:
            return answers.ended(error)
        means = next((info for info in found.items if isinstance(info, IssuedBillingKeyInfo)), None)
        if means is None:
            return Answer("declined", reason="the customer has no billing key")
        if ask.policy == "charge_after":
            return Answer("done", means.billing_key)
        charge = Charge(
            str(ask.authorization_id), means.billing_key, ask.subject, ask.amount_minor, ask.currency
        )  # fmt: skip
        return await self.charge(key, charge)

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        """There are no holds."""
        return Answer("our_fault", reason="PortOne holds nothing")

    async def void(self, key: str, psp_ref: str) -> Answer:
        """There are no holds."""
        return Answer("our_fault", reason="PortOne holds nothing")

    async def charge(self, key: str, charge: Charge) -> Answer:
        """A payment whose id is the order: PortOne pays no id twice."""
        if charge.currency not in CAPS.currencies:
            return Answer("our_fault", reason=f"PortOne takes no {charge.currency} here")
        pay = self._payments.pay_with_billing_key_async
        try:
            await self._call(
                "charge",
                lambda: pay(
                    payment_id=charge.order,
                    billing_key=charge.psp_ref,
                    order_name=ORDER_NAME,
                    customer=CustomerInput(id=charge.subject),
                    amount=PaymentAmountInput(total=charge.amount_minor),
                    currency=charge.currency,
                ),
            )
            return Answer("done", charge.order)
        except (errors.AlreadyPaidError, errors.PgProviderError) as error:
            return answers.charged(charge, await self.get("charge", charge.order), type(error).__name__)
        except FAILURES as error:
            return answers.ended(error)

    async def remit(self, key: str, message: SettlementMessage) -> Answer:
        """Shares are paid by the statement run."""
        return Answer("our_fault", reason="PortOne pays no shares of a payment: they are paid by the statement run")

    async def refund(self, key: str, refund: Refund) -> Answer:
        """A cancellation of a part, marked with our order; one that stands already is not made again."""
        look, cancel = self._payments.get_payment_async, self._payments.cancel_payment_async
        try:
            payment = await self._call("refund", lambda: look(payment_id=refund.psp_ref))
            made = answers.cancellation_of(payment, refund.order)
            if made is not None:
                return answers.refunded(made)
            left = answers.left_minor(payment)
            if left is None:
                return Answer("our_fault", reason="nothing was paid")
            answer = await self._call(
                "refund",
                lambda: cancel(
                    payment_id=refund.psp_ref,
                    amount=refund.amount_minor,
                    reason=answers.marked(refund),
                    current_cancellable_amount=left,  # so that of two who saw the same, one is refused
                ),
            )
            return answers.refunded(answer.cancellation)
        except FAILURES as error:
            return answers.ended(error)

    async def payout(self, key: str, payout: Payout) -> Answer:
        """A transfer to a partner, paid out on PortOne's next day for it."""
        create = self._transfers.create_platform_manual_transfer_async
        today = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
        try:
            await self._call(
                "payout",
                lambda: create(
                    id=payout.order,
                    partner_id=payout.account,
                    settlement_amount=payout.amount_minor,
                    settlement_currency=payout.currency,
                    settlement_date=today,
                    memo=payout.text,
                ),
            )
            return Answer("done", payout.order, standing="pending")
        except errors.PlatformTransferIdAlreadyUsedError:
            found = await self.get("payout", payout.order)
            if found.amount_minor != payout.amount_minor:
                return Answer("unknown", reason="its id is used, and not for this amount")
            return Answer("done", payout.order, standing=found.standing)
        except FAILURES as error:
            return answers.ended(error)

    async def statement(self, day: date) -> Statement | Unavailable:
        """PortOne settles with each payment service apart: there is no statement of one account."""
        return Unavailable("PortOne has no statement of its own")

    async def get(self, kind: Kind, ref: str) -> Found:
        """Payments and payouts by their ids, which are our orders. Refunds are told by their payment only."""
        look = self._payments.get_payment_async
        try:
            match kind:
                case "hold" | "charge" | "payment":
                    return answers.found_payment(await self._call("get", lambda: look(payment_id=ref)))
                case "payout":
                    one = self._transfers.get_platform_transfer_async
                    return answers.found_transfer(await self._call("get", lambda: one(id=ref)))
                case "refund":
                    return Found("unknown", reason="PortOne tells refunds by their payment only: ask again")
                case _:
                    return Found("missing")
        except (errors.PaymentNotFoundError, errors.PlatformTransferNotFoundError):
            return Found("missing")
        except FAILURES as error:
            return Found("unknown", reason=answers.ended(error).reason)

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
        """Signed as Standard Webhooks ask; judged on the wall clock."""
        return answers.read_webhook(self.name, self._settings.webhook_secrets, headers, raw)

    async def close(self) -> None:
        """Close what the verifier opened; the SDK's own connections end with the process."""
        if self._verifier is not None:
            await self._http.close()

    async def _call(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        """One call, counted; Resting while the breaker says that nobody answers there. Raises FAILURES."""
        if not self._breaker.allows():
            raise Resting
        began, outcome = self._monotonic(), "no answer"
        try:
            answer = await ask()
            outcome = "200"
            return answer
        except (HTTPError, ValueError):
            raise
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._breaker.ended(answered=outcome not in ("no answer", "UnknownError"))
            observe.PSP_SECONDS.labels(self.name, operation).observe(self._monotonic() - began)
            observe.PSP_CALLS.labels(self.name, operation, outcome).inc()
