"""The adapter of the social-payment server: Toss-shaped payments, OpenID Connect tokens, one settlement message."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import quote

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    TCPConnector,
)

from csms import observe
from csms.base import webhook
from csms.domain.authorization import Ask, Policy
from csms.psp import social_answers
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
from csms.psp.social_answers import LOOK_UPS, Reply, judged, judged_outgoing
from csms.psp.tokens import TokenVerifier

CONNECTIONS_MAX = 64
CALL_S_MAX = 30.0
CONNECT_S_MAX = 3.0
KEEP_ALIVE_S = 15.0

CAPS = Caps(
    hold=True,
    partial_capture=True,
    stored_token=True,
    split_remit=True,
    currencies=frozenset({"KRW", "JPY", "USD", "EUR"}),
    amount_minor_min=1,
    hold_s_max=7 * 24 * 3600,
    payout=True,
    policies=frozenset({"hold_capture", "charge_after", "pay_before_refund_rest"}),
)

ASKS: dict[Policy, tuple[str, str]] = {
    "hold_capture": ("/v1/payments/authorize", "paymentKey"),
    "charge_after": ("/v1/billing/authorizations/issue", "billingKey"),
    "pay_before_refund_rest": ("/v1/payments/confirm", "paymentKey"),
}
"""Policy -> where it is asked for, and the field that names the result."""


@dataclass(frozen=True, slots=True)
class SocialSettings:
    """
    Where the server is and who we are there. `url` and `issuer` have no slash at the end.

    `webhook_secrets` (`whsec_...`) sign what it sends; two while one takes the other's place.
    """

    url: str
    secret: str = field(repr=False)
    issuer: str
    audience: str = "csms"
    name: str = "social"
    call_s_max: float = CALL_S_MAX
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)


class Social:
    """The `Psp` named `settings.name`. Made inside a running event loop; `close` it there."""

    caps = CAPS

    def __init__(
        self,
        settings: SocialSettings,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = settings.name
        self._url = settings.url
        self._http = ClientSession(
            connector=TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S),
            timeout=ClientTimeout(total=settings.call_s_max, connect=CONNECT_S_MAX),
        )
        self._headers = {
            "Authorization": "Basic " + base64.b64encode(f"{settings.secret}:".encode()).decode(),
            "Content-Type": "application/json",
        }
        self._wall = wall
        self._monotonic = monotonic
        self._webhook_keys = tuple(webhook.key_of(secret) for secret in settings.webhook_secrets)
        self._breaker = Breaker(monotonic)
        self._verifier = TokenVerifier(
            self._http,
            psp=settings.name,
            issuer=settings.issuer,
            audience=settings.audience,
            wall=wall,
            monotonic=monotonic,
        )

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """By the issuer's published keys; the server itself is asked only for those."""
        return await self._verifier.verify(token)

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """A hold, with `charge_after` a billing key, with `pay_before_refund_rest` a payment."""
        body = {
            "orderId": str(ask.authorization_id),
            "customerKey": ask.subject,
            "amount": ask.amount_minor,
            "currency": ask.currency,
        }
        path, ref_name = ASKS[ask.policy]
        return judged(await self._post("authorize", path, key, body), ref_name)

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        """Part of a hold; the currency is the hold's."""
        path = f"/v1/payments/{quote(psp_ref, safe='')}/capture"
        return judged(await self._post("capture", path, key, {"amount": amount_minor}), "paymentKey")

    async def void(self, key: str, psp_ref: str) -> Answer:
        """Release a hold. One that is released already, under another key, is `unknown`: look."""
        path = f"/v1/payments/{quote(psp_ref, safe='')}/cancel"
        return judged(await self._post("void", path, key, {"cancelReason": "not used"}), "paymentKey")

    async def charge(self, key: str, charge: Charge) -> Answer:
        """By the billing key."""
        body = {
            "orderId": charge.order,
            "customerKey": charge.subject,
            "amount": charge.amount_minor,
            "currency": charge.currency,
        }
        return judged(
            await self._post("charge", f"/v1/billing/{quote(charge.psp_ref, safe='')}", key, body), "paymentKey"
        )

    async def remit(self, key: str, message: SettlementMessage) -> Answer:
        """The settlement message: the server pays the sellers and sends the receipt."""
        body = {
            "orderId": message.order,
            "paymentKey": message.psp_ref,
            "fee": message.fee_minor,
            "currency": message.currency,
            "shares": [{"seller": share.account, "amount": share.amount_minor} for share in message.shares],
            "details": dict(message.details),
        }
        return judged(await self._post("remit", "/v1/settlements", key, body), "settlementId")

    async def refund(self, key: str, refund: Refund) -> Answer:
        """Part of a payment, under the refund's own order."""
        path = f"/v1/payments/{quote(refund.psp_ref, safe='')}/refunds"
        body: dict[str, object] = {"orderId": refund.order, "amount": refund.amount_minor, "reason": refund.reason}
        return judged_outgoing(await self._post("refund", path, key, body), "refundId")

    async def payout(self, key: str, payout: Payout) -> Answer:
        """To a seller's bank account."""
        body: dict[str, object] = {
            "orderId": payout.order,
            "seller": payout.account,
            "amount": payout.amount_minor,
            "currency": payout.currency,
            "text": payout.text,
        }
        return judged_outgoing(await self._post("payout", "/v1/payouts", key, body), "payoutId")

    async def statement(self, day: date) -> Statement | Unavailable:
        """The server's account of the day."""
        reply = await self._send("statement", "GET", f"/v1/statements/{day.isoformat()}", None, None)
        if reply.status != 200:
            return Unavailable(reply.code)
        try:
            return social_answers.statement(day, reply.body)
        except (KeyError, TypeError, ValueError) as error:
            return Unavailable(f"a statement that cannot be read: {error!r}")

    async def get(self, kind: Kind, ref: str) -> Found:
        """By the order under which it was asked for, payments and chargebacks by the server's own name."""
        reply = await self._send("get", "GET", LOOK_UPS[kind] + quote(ref, safe=""), None, None)
        return social_answers.found(kind, reply)

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
        """Signed as Standard Webhooks ask; judged on the wall clock."""
        return social_answers.read_webhook(self.name, self._webhook_keys, headers, raw, self._wall())

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def _post(self, operation: str, path: str, key: str, body: dict[str, object]) -> Reply:
        # sorted, so that a repeat is byte for byte the request its key was used with
        return await self._send(operation, "POST", path, key, json.dumps(body, sort_keys=True).encode())

    async def _send(self, operation: str, method: str, path: str, key: str | None, body: bytes | None) -> Reply:
        """One call, counted; none while the breaker says that nobody answers there."""
        if not self._breaker.allows():
            return Reply(0, {})
        began = self._monotonic()
        reply = await self._exchange(method, path, key, body)
        self._breaker.ended(answered=0 < reply.status < 500)
        observe.PSP_SECONDS.labels(self.name, operation).observe(self._monotonic() - began)
        observe.PSP_CALLS.labels(self.name, operation, str(reply.status) if reply.status > 0 else reply.code).inc()
        return reply

    async def _exchange(self, method: str, path: str, key: str | None, body: bytes | None) -> Reply:
        headers = self._headers if key is None else {**self._headers, "Idempotency-Key": key}
        try:
            async with self._http.request(
                method, self._url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
        except (ClientConnectorError, ConnectionTimeoutError):
            return Reply(0, {})
        except (ClientError, TimeoutError):
            return Reply(-1, {})
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            return Reply(response.status if response.status >= 400 else -1, {})
        return Reply(response.status, answer)
