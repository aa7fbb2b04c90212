"""The adapter of the social-payment server: Toss-shaped payments, OpenID Connect tokens, one settlement message."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
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
from csms.domain.authorization import Ask
from csms.psp.base import Answer, Caps, Charge, Denied, Found, Kind, SettlementMessage, Standing, VerifiedToken
from csms.psp.breaker import Breaker
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

LOOK_UPS: dict[Kind, str] = {
    "hold": "/v1/payments/orders/",
    "stored": "/v1/billing/orders/",
    "charge": "/v1/payments/orders/",
    "settlement": "/v1/settlements/orders/",
}

NOT_FOUND = "NOT_FOUND"
"""The server's word for what it does not have; any other 404 (a proxy's, a wrong address) tells nothing."""

STANDINGS: dict[str, Standing] = {
    "AUTHORIZED": "held",
    "ISSUED": "stored",
    "DONE": "taken",
    "PARTIAL_CANCELED": "taken",
    "CANCELED": "released",
    "ABORTED": "declined",
}


@dataclass(frozen=True, slots=True)
class SocialSettings:
    """Where the server is and who we are there. `url` and `issuer` have no slash at the end."""

    url: str
    secret: str = field(repr=False)
    issuer: str
    audience: str = "csms"
    name: str = "social"
    call_s_max: float = CALL_S_MAX


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `status` 0: nothing was sent; -1: it was sent, and no answer came."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The server's code of a refusal, or what we call no answer."""
        if self.status <= 0:
            return "not sent" if self.status == 0 else "no answer"
        return str(self.body.get("code", self.status))


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
        self._monotonic = monotonic
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
        """A hold, or with `charge_after` a billing key."""
        body = {
            "orderId": str(ask.authorization_id),
            "customerKey": ask.subject,
            "amount": ask.amount_minor,
            "currency": ask.currency,
        }
        if ask.policy == "hold_capture":
            return judged(await self._post("authorize", "/v1/payments/authorize", key, body), "paymentKey")
        return judged(await self._post("authorize", "/v1/billing/authorizations/issue", key, body), "billingKey")

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

    async def get(self, kind: Kind, ref: str) -> Found:
        """By the order id under which it was asked for."""
        reply = await self._send("get", "GET", LOOK_UPS[kind] + quote(ref, safe=""), None, None)
        if reply.status == 404 and reply.code == NOT_FOUND:
            return Found("missing")
        if reply.status != 200:
            return Found("unknown", reason=reply.code)
        try:
            return _found(kind, reply.body)
        except (KeyError, TypeError, ValueError) as error:
            return Found("unknown", reason=f"an answer that cannot be read: {error!r}")

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


def _found(kind: Kind, body: dict[str, Any]) -> Found:
    """What a look-up answered; KeyError, TypeError or ValueError when it is none of the answers we know."""
    if kind == "settlement":
        return Found("settled", str(body["settlementId"]), int(body["fee"]))
    standing = STANDINGS[body["status"]]
    if kind == "stored":
        return Found(standing, str(body["billingKey"]), None, failure_of(body))
    amount = int(body["capturedAmount"] if standing == "taken" else body["totalAmount"])
    return Found(standing, str(body["paymentKey"]), amount, failure_of(body))


def judged(reply: Reply, ref_name: str) -> Answer:
    """How a call ended, by the taxonomy of `csms.psp.base`; `ref_name` is the field that names the result."""
    match reply.status:
        case 200 if reply.body.get("status") == "ABORTED":
            return Answer("declined", str(reply.body.get(ref_name)), failure_of(reply.body))
        case 200 if isinstance(reply.body.get(ref_name), str):
            return Answer("done", reply.body[ref_name])
        case 0 | 429:
            return Answer("retryable", reason=reply.code)
        case 402 | 403:
            return Answer("declined", reason=reply.code)
        case 400 | 401 | 404 | 405 | 413 | 422:
            return Answer("our_fault", reason=reply.code)
        case _:
            # no answer, 5xx, or 409: it stands otherwise than this request thought, so look
            return Answer("unknown", reason=reply.code)


def failure_of(body: dict[str, Any]) -> str | None:
    """The code of a declined payment, None where it was not declined."""
    failure = body.get("failure")
    return str(failure.get("code")) if isinstance(failure, dict) else None
