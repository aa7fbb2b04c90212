"""A small client of the social-payment server, with its secret: its clock, payments into balances, its journal."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import aiohttp

from charge_points_sim.times import wire


class SocialClient:
    """Requests to the server at `url`. Raises `aiohttp.ClientError` where it refuses."""

    def __init__(self, http: aiohttp.ClientSession, url: str, secret: str) -> None:
        self._http = http
        self.url = url
        self.secret = secret
        self._headers = {"Authorization": f"Basic {b64encode(f'{secret}:'.encode()).decode()}"}

    async def set_clock(self, now: int) -> None:
        """What happens from now on happens at `now` (epoch seconds)."""
        await self._call("POST", "/admin/clock", {"now": wire(now)})

    async def totals(self) -> dict[str, Any]:
        """What all effects add up to."""
        return await self._call("GET", "/v1/journal/totals")

    async def pay_in(self, driver: str, minor: int, currency: str) -> str:
        """A driver pays into the balance that the system keeps; the payment's key, by which it is found."""
        order = f"top-up:{driver}:1"
        body = {"orderId": order, "customerKey": driver, "amount": minor, "currency": currency}
        return str((await self._call("POST", "/v1/payments/confirm", body, key=order))["paymentKey"])

    async def given_back(self, payment: str) -> int:
        """How much of a payment went back, as the journal has it, refund by refund."""
        after: int | None = 0
        minor = 0
        while after is not None:
            page = await self._call("GET", f"/v1/journal?after={after}")
            refunds = [entry for entry in page["entries"] if entry["operation"] == "refund"]
            minor += sum(entry["amount"] for entry in refunds if entry["payment_key"] == payment)
            after = page["next"]
        return minor

    async def _call(self, method: str, path: str, body: object = None, key: str | None = None) -> dict[str, Any]:
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        async with self._http.request(method, self.url + path, json=body, headers=headers) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found
