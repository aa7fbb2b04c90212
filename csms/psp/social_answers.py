"""What the social-payment server's answers, statements and webhooks mean in the words of the port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, get_args

from csms.base import webhook
from csms.psp.base import Answer, Event, Found, Kind, LineKind, Standing, Statement, StatementLine, Unverified

LOOK_UPS: dict[Kind, str] = {
    "hold": "/v1/payments/orders/",
    "stored": "/v1/billing/orders/",
    "charge": "/v1/payments/orders/",
    "settlement": "/v1/settlements/orders/",
    "payment": "/v1/payments/",
    "refund": "/v1/refunds/orders/",
    "payout": "/v1/payouts/orders/",
    "chargeback": "/v1/chargebacks/",
}

NOT_FOUND = "NOT_FOUND"
"""The server's word for what it does not have; any other 404 (a proxy's, a wrong address) tells nothing."""

NOTHING_LEFT = "ALREADY_CANCELED_PAYMENT"
"""A refund of what went back as a whole: clear, though its status says no more than that it stands otherwise."""

STANDINGS: dict[str, Standing] = {
    "AUTHORIZED": "held",
    "ISSUED": "stored",
    "DONE": "taken",
    "PARTIAL_CANCELED": "taken",
    "CANCELED": "released",
    "ABORTED": "declined",
}

ENDS: dict[str, Standing] = {
    "PENDING": "pending",
    "REQUESTED": "pending",
    "DONE": "paid",
    "COMPLETED": "paid",
    "FAILED": "failed",
    "OPENED": "opened",
    "WON": "won",
    "LOST": "lost",
}
"""How refunds, payouts and chargebacks stand."""

NAMES: dict[Kind, str] = {"refund": "refundId", "payout": "payoutId", "chargeback": "disputeId"}

WEBHOOK_KINDS: tuple[Kind, ...] = ("payment", "refund", "payout", "chargeback")


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


def judged_outgoing(reply: Reply, ref_name: str) -> Answer:
    """The same for a refund or payout, which may end later than its call."""
    answer = judged(reply, ref_name)
    if reply.code == NOTHING_LEFT:
        return Answer("our_fault", reason=reply.code)
    if answer.end != "done":
        return answer
    match ENDS.get(str(reply.body.get("status"))):
        case "paid" | "pending" as standing:
            return Answer("done", answer.psp_ref, standing=standing)
        case "failed":
            return Answer("declined", answer.psp_ref, "failed", "failed")
        case _:
            return Answer("unknown", answer.psp_ref, "an answer without a status that is known")


def failure_of(body: dict[str, Any]) -> str | None:
    """The code of a declined payment, None where it was not declined."""
    failure = body.get("failure")
    return str(failure.get("code")) if isinstance(failure, dict) else None


def found(kind: Kind, reply: Reply) -> Found:
    """What a look-up answered; `unknown` when it is none of the answers we know."""
    if reply.status == 404 and reply.code == NOT_FOUND:
        return Found("missing")
    if reply.status != 200:
        return Found("unknown", reason=reply.code)
    try:
        return _found(kind, reply.body)
    except (KeyError, TypeError, ValueError) as error:
        return Found("unknown", reason=f"an answer that cannot be read: {error!r}")


def _found(kind: Kind, body: dict[str, Any]) -> Found:
    """KeyError, TypeError or ValueError when it cannot be read."""
    if kind == "settlement":
        return Found("settled", str(body["settlementId"]), int(body["fee"]))
    if kind in NAMES:
        return Found(
            ENDS[body["status"]],
            str(body[NAMES[kind]]),
            int(body["amount"]),
            currency=str(body["currency"]),
            order=body.get("orderId"),
            payment_ref=body.get("paymentKey"),
        )
    standing = STANDINGS[body["status"]]
    if kind == "stored":
        return Found(standing, str(body["billingKey"]), None, failure_of(body))
    captured, left = int(body["capturedAmount"]), int(body["balanceAmount"])
    if standing == "released" and captured:
        standing = "taken"  # and given back since
    return Found(
        standing,
        str(body["paymentKey"]),
        captured if standing == "taken" else int(body["totalAmount"]),
        failure_of(body),
        currency=str(body["currency"]),
        order=str(body["orderId"]),
        refunded_minor=captured - left,
    )


def statement(day: date, body: dict[str, Any]) -> Statement:
    """The lines of a day; KeyError, TypeError or ValueError when they cannot be read."""
    if body["day"] != day.isoformat():
        raise ValueError("it is of another day")
    return Statement(day, tuple(_line(line) for line in body["lines"]))


def _line(line: dict[str, Any]) -> StatementLine:
    kind: LineKind = line["kind"]
    if kind not in get_args(LineKind):
        raise ValueError(f"a line of an unknown kind {kind!r}")
    return StatementLine(
        str(line["ref"]),
        kind,
        None if line["orderId"] is None else str(line["orderId"]),
        int(line["amount"]),
        int(line["fee"]),
        str(line["currency"]),
        datetime.fromisoformat(line["at"]).astimezone(UTC),
    )


def read_webhook(
    psp: str, keys: tuple[bytes, ...], headers: Mapping[str, str], raw: bytes, now_s: float
) -> Event | Unverified:
    """An event if it is genuine and fresh, else what it would say."""
    event = _event(psp, headers.get(webhook.ID, ""), raw)
    reason = webhook.fault(keys, headers, raw, now_s) if keys else "no secret of webhooks is set"
    if reason is not None:
        return Unverified(reason, event)
    return event or Unverified("signed, and not an event that is known here")


def _event(psp: str, event_id: str, raw: bytes) -> Event | None:
    try:
        body = json.loads(raw)
        told = body["data"]
        kind = told["kind"]
        known = kind in WEBHOOK_KINDS
        ends = STANDINGS if kind == "payment" else ENDS
        return Event(
            psp,
            event_id or str(body["id"]),
            kind if known else None,
            str(told["ref"]),
            ends.get(told["status"]) if known else None,
            datetime.fromisoformat(body["at"]).astimezone(UTC),
            body,
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
