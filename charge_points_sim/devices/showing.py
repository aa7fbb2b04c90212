"""
Stations that show their drivers prices and costs, one per version; the plain ones know nothing of it.

1.6 hears them by DataTransfer, 2.0.1 and 2.1 by CostUpdated and `totalCost`. The 2.1 station also takes a
default tariff and computes what each session costs itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from charge_points_sim.devices import v16, v21, v201
from charge_points_sim.devices.device import Asked, Device, Message, Payload, Shown, StopReason
from charge_points_sim.session import Session

VENDOR = "org.openchargealliance.costmsg"
KINDS = {"SetUserPrice": "prices", "RunningCost": "running", "FinalCost": "fee"}
ACCEPTED = '{"status":"Accepted"}'
SECONDS_PER_MINUTE = 60
WH_PER_KWH = 1_000


def read_16(action: str, payload: Payload) -> Asked:
    """A DataTransfer about costs is shown."""
    kind = KINDS.get(payload.get("messageId", "")) if payload.get("vendorId") == VENDOR else None
    if action != "DataTransfer" or kind is None:
        return v16.read_call(action, payload)
    return Shown(kind, json.loads(payload["data"]), ACCEPTED)


def read_2x(action: str, payload: Payload) -> Asked:
    """CostUpdated is shown."""
    return Shown("running", payload, "{}") if action == "CostUpdated" else v201.read_call(action, payload)


def read_21(action: str, payload: Payload) -> Asked:
    """A default tariff is taken."""
    return Shown("tariff", payload["tariff"], ACCEPTED) if action == "SetDefaultTariff" else read_2x(action, payload)


def read_fee(answer: Payload) -> Payload | None:
    """`totalCost` of the answer to the end of a session."""
    return {"totalCost": answer["totalCost"]} if "totalCost" in answer else None


def ended(session: Session, at: int, reason: StopReason, offline: bool) -> Message:
    """Ended, with `costDetails` where the station knows what the session costs."""
    text = v201.ended(session, at, reason, offline).write()
    details = None if session.tariff is None else cost_details(session.tariff, session, at)
    if details is not None:
        text = f'{text[:-1]},"costDetails":{json.dumps(details)}}}'
    return Message("TransactionEvent", lambda: text)


def cost_details(tariff: Payload, session: Session, at: int) -> Payload | None:
    """What a session costs by a 2.1 tariff without conditions; None where it has some: that is not simulated."""
    wh, seconds = session.register_wh - session.start_wh, at - session.started_at
    parts = (
        ("energy", "priceKwh", Decimal(wh) / WH_PER_KWH),
        ("chargingTime", "priceMinute", Decimal(seconds) / SECONDS_PER_MINUTE),
        ("fixedFee", "priceFixed", Decimal(1)),
    )
    excl = incl = Decimal(0)
    for name, price_name, quantity in parts:
        if name not in tariff:
            continue
        price = tariff[name]["prices"][0]
        if "conditions" in price or len(tariff[name]["prices"]) > 1:
            return None
        cost = _decimal(price[price_name]) * quantity
        tax = sum((_decimal(rate["tax"]) for rate in tariff[name].get("taxRates", ())), start=Decimal(0))
        excl += cost
        incl += cost * (1 + tax / 100)
    total = {"exclTax": float(round(excl, 4)), "inclTax": float(round(incl, 4))}
    return {
        "totalCost": {"currency": tariff["currency"], "typeOfCost": "NormalCost", "total": total},
        "totalUsage": {"energy": wh / WH_PER_KWH, "chargingTime": seconds, "idleTime": 0},
    }


def _decimal(number: float) -> Decimal:
    """A JSON number, as it is written."""
    return Decimal(str(number))


SHOWING: Mapping[str, Device] = {
    "1.6": replace(v16.DEVICE, read_call=read_16),
    "2.0.1": replace(v201.DEVICE, read_call=read_2x, read_fee=read_fee),
    "2.1": replace(v21.DEVICE, read_call=read_21, read_fee=read_fee, ended=ended),
}
