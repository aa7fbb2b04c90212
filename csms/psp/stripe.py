"""The adapter of Stripe: PaymentIntents, Refunds, and Connect transfers to the payees, by Stripe's own SDK."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import stripe
from stripe.params import PaymentIntentCreateParams, TransferCreateParams

from csms.domain.authorization import Ask
from csms.psp import stripe_answers as answers
from csms.psp import stripe_look_up
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
from csms.psp.stripe_answers import FAILURES, noted
from csms.psp.stripe_look_up import PAGE
from csms.psp.stripe_wire import Wire
from csms.psp.tokens import TokenVerifier

CALL_S_MAX = 30.0
API = "https://api.stripe.com"

CAPS = Caps(
    hold=True,
    partial_capture=True,
    stored_token=True,
    split_remit=True,
    currencies=frozenset({"KRW", "JPY", "USD", "EUR", "GBP", "AUD", "CAD", "CHF", "SGD", "HKD", "NZD"}),
    amount_minor_min=50,
    hold_s_max=7 * 24 * 3600,
    payout=True,
    policies=frozenset({"hold_capture", "charge_after", "pay_before_refund_rest"}),
)
"""In all these currencies Stripe's smallest unit is ours: KRW and JPY have none, the others two places."""

HERE: stripe.params.PaymentIntentCreateParamsAutomaticPaymentMethods = {"enabled": True, "allow_redirects": "never"}
"""The driver is not there to be sent elsewhere."""


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """
    Who we are at Stripe. `webhook_secrets` sign what it sends; two while one takes the other's place.

    `operator_account`: what payees call our own account; its shares stay where they are. Tokens of
    `issuer` name a Stripe customer as their subject; without it no token is Stripe's.
    """

    secret: str = field(repr=False)
    operator_account: str
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    issuer: str | None = None
    audience: str = "csms"
    name: str = "stripe"
    url: str = API
    call_s_max: float = CALL_S_MAX


class Stripe:
    """The `Psp` named `settings.name`. Made inside a running event loop; `close` it there."""

    caps = CAPS

    def __init__(
        self,
        settings: StripeSettings,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._wire = Wire(self.name, settings.secret, settings.url, settings.call_s_max, wall, monotonic)
        self._v1 = self._wire.v1
        self._verifier = None
        if settings.issuer is not None:
            self._verifier = TokenVerifier(
                self._wire.http, psp=self.name, issuer=settings.issuer, audience=settings.audience,
                wall=wall, monotonic=monotonic,
            )  # fmt: skip

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """By the configured issuer's keys."""
        if self._verifier is None:
            return Denied("no issuer of tokens is set for Stripe")
        return await self._verifier.verify(token)

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """A PaymentIntent with manual capture, a confirmed SetupIntent, or a payment, on the customer's card."""
        try:
            method = await self._card_of(ask.subject)
            if method is None:
                return Answer("declined", reason="the customer has no card")
            order = str(ask.authorization_id)
            if ask.policy != "charge_after":
                manual = ask.policy == "hold_capture"
                return await self._pay(key, order, ask.subject, method, ask.amount_minor, ask.currency, manual)
            made = self._v1.setup_intents.create_async
            setup = await self._wire.call(
                "authorize",
                lambda: made(
                    {
                        "customer": ask.subject,
                        "payment_method": method,
                        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                        "usage": "off_session",
                        "confirm": True,
                        "metadata": {"order": order},
                    },
                    {"idempotency_key": key},
                ),
            )
            return answers.stored(setup)
        except FAILURES as error:
            return answers.ended(error)

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        """Part of a hold; Stripe releases the rest."""
        return await self._moved(
            "capture",
            lambda: self._v1.payment_intents.capture_async(
                psp_ref, {"amount_to_capture": amount_minor}, {"idempotency_key": key}
            ),
        )

    async def void(self, key: str, psp_ref: str) -> Answer:
        """Cancel the PaymentIntent."""
        cancel = self._v1.payment_intents.cancel_async
        return await self._moved("void", lambda: cancel(psp_ref, None, {"idempotency_key": key}))

    async def charge(self, key: str, charge: Charge) -> Answer:
        """A payment off session on the card that was checked."""
        try:
            return await self._pay(
                key, charge.order, charge.subject, charge.psp_ref, charge.amount_minor, charge.currency, False
            )
        except FAILURES as error:
            return answers.ended(error)

    async def remit(self, key: str, message: SettlementMessage) -> Answer:
        """
        One Connect transfer per payee, out of the payment itself; our own share stays with us.

        The charge is marked with the order first, as its transfer group, which Stripe lets nobody change.
        """
        if sum(share.amount_minor for share in message.shares) != message.fee_minor:
            return Answer("our_fault", reason="the shares are not the fee")
        try:
            charge = await self._marked(key, message)
            if charge is None:
                return Answer("our_fault", reason="the payment is settled under another order")
            made = {
                str(transfer.destination): transfer
                for transfer in await stripe_look_up.transfers(self._wire, message.order)
            }
            if any(noted(transfer, "key") != key for transfer in made.values()):
                return Answer("our_fault", reason="the order is settled under another key")
            for share in message.shares:
                if share.account not in made and share.account != self._settings.operator_account:
                    await self._transfer("remit", f"{key}/{share.account}", {
                        "destination": share.account, "amount": share.amount_minor,
                        "currency": message.currency.lower(), "source_transaction": charge,
                        "transfer_group": message.order, "metadata": {"order": message.order, "key": key},
                    })  # fmt: skip
            return Answer("done", message.order)
        except FAILURES as error:
            return answers.ended(error)

    async def refund(self, key: str, refund: Refund) -> Answer:
        """Part of a payment; one that stands already under this order is found among the payment's refunds."""
        try:
            listed = await self._wire.call(
                "refund",
                lambda: self._v1.refunds.list_async({"payment_intent": refund.psp_ref, "limit": PAGE}),
            )
            for made in listed.data:
                if answers.order_of(made) == refund.order:
                    if noted(made, "key") == key:
                        return answers.refunded(made)
                    return Answer("our_fault", reason="the refund stands under another key")
            create = self._v1.refunds.create_async
            metadata = {"order": refund.order, "key": key, "reason": refund.reason[:500]}
            made = await self._wire.call(
                "refund",
                lambda: create(
                    {"payment_intent": refund.psp_ref, "amount": refund.amount_minor, "metadata": metadata},
                    {"idempotency_key": key},
                ),
            )
            return answers.refunded(made)
        except FAILURES as error:
            return answers.ended(error)

    async def payout(self, key: str, payout: Payout) -> Answer:
        """A transfer from our balance to the payee's connected account."""
        try:
            for made in await stripe_look_up.transfers(self._wire, payout.order):
                if noted(made, "key") != key:
                    return Answer("our_fault", reason="the payout stands under another key")
                return Answer("done", made.id, standing=answers.found_payout(made).standing)
            made = await self._transfer("payout", key, {
                "destination": payout.account, "amount": payout.amount_minor, "currency": payout.currency.lower(),
                "transfer_group": payout.order, "description": payout.text,
                "metadata": {"order": payout.order, "key": key, "kind": "payout"},
            })  # fmt: skip
            return Answer("done", made.id, standing="paid")
        except FAILURES as error:
            return answers.ended(error)

    async def statement(self, day: date) -> Statement | Unavailable:
        """The movements of our Stripe balance on that day."""
        return await stripe_look_up.statement(self._wire, day)

    async def get(self, kind: Kind, ref: str) -> Found:
        """By the order under which it was asked for; payments and chargebacks by Stripe's id."""
        return await stripe_look_up.get(self._wire, kind, ref)

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
        """Signed by Stripe's scheme; judged on the wall clock."""
        return answers.read_webhook(self.name, self._settings.webhook_secrets, headers, raw)

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.http.close()

    async def _marked(self, key: str, message: SettlementMessage) -> str | None:
        """The charge of the payment, marked as settled by this message; None when it is marked otherwise."""
        intents, charges = self._v1.payment_intents, self._v1.charges
        intent = await self._wire.call(
            "remit", lambda: intents.retrieve_async(message.psp_ref, {"expand": ["latest_charge"]})
        )
        charge = intent.latest_charge
        if not isinstance(charge, stripe.Charge):
            raise ValueError("the payment has no charge")
        if charge.transfer_group is not None:
            return charge.id if charge.transfer_group == message.order else None
        own = sum(s.amount_minor for s in message.shares if s.account == self._settings.operator_account)
        metadata = {"fee": str(message.fee_minor), "own": str(own)}
        await self._wire.call(
            "remit",
            lambda: charges.update_async(
                charge.id, {"transfer_group": message.order, "metadata": metadata}, {"idempotency_key": f"{key}/mark"}
            ),
        )
        return charge.id

    async def _transfer(self, operation: str, key: str, params: TransferCreateParams) -> stripe.Transfer:
        made = self._v1.transfers.create_async
        return await self._wire.call(operation, lambda: made(params, {"idempotency_key": key}))

    async def _pay(
        self, key: str, order: str, customer: str, method: str, amount_minor: int, currency: str, manual: bool
    ) -> Answer:
        """A confirmed PaymentIntent, off session; `manual` only holds the amount."""
        params: PaymentIntentCreateParams = {
            "amount": amount_minor,
            "currency": currency.lower(),
            "customer": customer,
            "payment_method": method,
            "automatic_payment_methods": HERE,
            "capture_method": "manual" if manual else "automatic",
            "confirm": True,
            "off_session": True,
            "metadata": {"order": order},
        }
        made = self._v1.payment_intents.create_async
        operation = "authorize" if manual else "charge"
        return answers.asked(await self._wire.call(operation, lambda: made(params, {"idempotency_key": key})))

    async def _moved(self, operation: str, ask: Callable[[], Awaitable[stripe.PaymentIntent]]) -> Answer:
        try:
            return answers.asked(await self._wire.call(operation, ask))
        except FAILURES as error:
            return answers.ended(error)

    async def _card_of(self, customer_id: str) -> str | None:
        """The customer's default card, or the newest one."""
        customer = await self._wire.call("authorize", lambda: self._v1.customers.retrieve_async(customer_id))
        chosen = None if customer.invoice_settings is None else customer.invoice_settings.default_payment_method
        if chosen is not None:
            return chosen if isinstance(chosen, str) else chosen.id
        listed = self._v1.payment_methods.list_async
        cards = (
            await self._wire.call("authorize", lambda: listed({"customer": customer_id, "type": "card", "limit": 1}))
        ).data
        return cards[0].id if cards else None
