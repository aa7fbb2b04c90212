"""
Events to the merchant, signed as Standard Webhooks ask, sent again until they are taken; faults included.

The headers are `webhook-id`, `webhook-timestamp` and `webhook-signature` (`v1,` and the base64 of
HMAC-SHA256 over `id.timestamp.body`, by the secret behind `whsec_`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from charge_points_sim.social.faults import Faults
from charge_points_sim.social.requests import Webhook
from charge_points_sim.social.state import Entry, Json, State

ATTEMPTS_MAX = 8
PAUSE_S = 0.2
CALL_S_MAX = 5.0
REORDER_S_MAX = 2.0
"""How long an event waits for a later one that is to overtake it."""

STALE_S = 3 * 365 * 24 * 3600


@dataclass(slots=True)
class Webhooks:
    """Sends the events of effects to one address, once it is told where (`set_target`)."""

    faults: Faults
    target: Webhook | None = None
    sending: set[asyncio.Task[None]] = field(default_factory=set)
    overtaken: asyncio.Event = field(default_factory=asyncio.Event)
    delivered: int = 0
    http: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Begin to be able to send."""
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_S_MAX))

    async def close(self) -> None:
        """Send no more."""
        for task in self.sending:
            task.cancel()
        await asyncio.gather(*self.sending, return_exceptions=True)
        if self.http is not None:
            await self.http.close()

    def set_target(self, target: Webhook) -> Json:
        """Send to this address from now on; an empty one: send nothing."""
        self.target = target if target.url else None
        return {"url": target.url}

    def tell(self, state: State, entry: Entry) -> None:
        """Send the event of one effect, if it has one, in the background."""
        body = event(state, entry)
        if body is None or self.target is None:
            return
        task = asyncio.create_task(self._send(self.target, body))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def _send(self, target: Webhook, body: Json) -> None:
        fault = self.faults.draw("webhook") if self.faults.active else None
        kind = fault.kind if fault is not None else ""
        if kind == "lost":
            return
        if fault is not None and kind == "delay":
            await asyncio.sleep(fault.delay_s)
        if kind == "reorder":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.overtaken.wait(), REORDER_S_MAX)
        for _ in range(2 if kind == "duplicate" else 1):
            await self._deliver(target, body, kind)
        self.overtaken.set()
        self.overtaken.clear()

    async def _deliver(self, target: Webhook, body: Json, kind: str) -> None:
        raw = json.dumps(body, separators=(",", ":")).encode()
        pause = PAUSE_S
        for _ in range(ATTEMPTS_MAX):
            if await self._post(target, body["id"], raw, kind):
                self.delivered += 1
                return
            await asyncio.sleep(pause)
            pause *= 2

    async def _post(self, target: Webhook, event_id: str, raw: bytes, kind: str) -> bool:
        assert self.http is not None, "open() comes first"
        at = int(time.time()) - (STALE_S if kind == "stale" else 0)
        secret = base64.b64encode(b"somebody else's").decode() if kind == "forged" else target.secret
        headers = {"Content-Type": "application/json", "webhook-id": event_id, "webhook-timestamp": str(at)}
        if kind != "unsigned":
            headers["webhook-signature"] = signature(secret, event_id, at, raw)
        try:
            async with self.http.post(target.url, data=raw, headers=headers, allow_redirects=False) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False


def signature(secret: str, event_id: str, at: int, raw: bytes) -> str:
    """The `webhook-signature` of a body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event_id}.{at}.".encode() + raw, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def event(state: State, entry: Entry) -> Json | None:
    """What the merchant is told of an effect; None when it is nothing that it does not know from its own call."""
    read = READERS.get(entry["operation"])
    if read is None:
        return None
    kind, ref, status, order = read(state, entry)
    told = {"kind": kind, "ref": ref, "status": status, "orderId": order}
    return {"id": f"evt_{entry['seq']:08d}", "type": f"{kind}.{status.lower()}", "at": entry["at"], "data": told}


Told = tuple[str, str, str, str | None]


def _payment(state: State, entry: Entry) -> Told:
    payment = state.payments[entry["payment_key"]]
    return "payment", payment.payment_key, payment.status, payment.order_id


def _refund(state: State, entry: Entry) -> Told:
    return "refund", entry["order_id"], entry["status"], entry["order_id"]


def _payout(state: State, entry: Entry) -> Told:
    return "payout", entry["order_id"], entry["status"], entry["order_id"]


def _chargeback(state: State, entry: Entry) -> Told:
    return "chargeback", entry["dispute_id"], entry.get("status", "OPENED"), None


READERS: dict[str, Callable[[State, Entry], Told]] = {
    **dict.fromkeys(("capture", "charge", "confirm", "cancel"), _payment),
    **dict.fromkeys(("refund", "refund_end"), _refund),
    **dict.fromkeys(("payout", "payout_end"), _payout),
    **dict.fromkeys(("chargeback", "chargeback_end"), _chargeback),
}
"""Operation -> (kind, ref, status, order) of the event."""
