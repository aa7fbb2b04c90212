"""Rentals and openings as clients get them, and the problems that the protocol's words for refusals are."""

from __future__ import annotations

from typing import Any

from csms.api.problems import Problem
from csms.api.shapes import Answer, Moment, Money, money
from csms.base.errors import Conflict
from csms.db import Record
from csms.domain.asset_events import AssetAnswer
from csms.domain.events import Outcome


class DoorToOpen(Answer):
    """The door that was last to open for a rental: until when it may, and what became of it."""

    id: str
    station: str
    connector: int
    why: str
    state: str
    until: Moment


class Rental(Answer):
    """
    One item in a driver's hands, from release to return; its money has the same id.

    `connector` is the door that it is taken from, `hold` what is set aside, deposit included. A pack is handed out by a
    `swap`; `battery_wh` is what was taken from it.
    """

    id: str
    state: str
    station: str
    connector: int | None
    provider: str
    driver: str | None
    item: str | None
    item_type: str | None
    proof: str
    requested_at: Moment
    taken_at: Moment | None
    due_at: Moment | None
    returned_at: Moment | None
    return_station: str | None
    return_connector: int | None
    extensions: int
    flags: list[str]
    reason: str | None
    closed_at: Moment | None
    hold: Money | None
    fee: Money | None
    damage: Money | None
    means: str | None
    rest: str | None
    swap: str | None
    battery_wh: int | None
    door: DoorToOpen | None


_RENTAL = (
    *("state", "item", "item_type", "proof", "requested_at", "taken_at", "due_at", "returned_at", "return_station"),
    *("extensions", "flags", "reason", "closed_at", "means", "rest", "battery_wh"),
)


def rental(row: Record) -> Rental:
    """A row of `show_rental`."""
    return Rental(
        id=str(row["id"]), station=row["station_id"], connector=row["unit"], provider=row["provider_id"],
        driver=row["driver_id"], return_connector=row["return_unit"], door=_door(row), hold=_money(row, "hold_minor"),
        swap=None if row["swap_id"] is None else str(row["swap_id"]),
        fee=_money(row, "fee_minor"), damage=_money(row, "damage_minor") if row["damage_minor"] else None,
        **{name: row[name] for name in _RENTAL},
    )  # fmt: skip


def _money(row: Record, column: str) -> Money | None:
    currency, minor = row["currency"], row[column]
    return None if currency is None or minor is None else money(minor, currency)


def _door(row: Record) -> DoorToOpen | None:
    if row["grant_id"] is None:
        return None
    return DoorToOpen(
        id=str(row["grant_id"]), station=row["grant_station"], connector=row["grant_unit"], why=row["grant_why"],
        state=row["grant_state"], until=row["grant_until"],
    )  # fmt: skip


class Opening(Answer):
    """A permission to open one door once: who had it, why, how presence was proven, and what became of it."""

    id: str
    station: str
    connector: int
    why: str
    state: str
    rental: str | None
    item: str | None
    driver: str | None
    by: str
    proof: str
    reason: str | None
    attempt: int
    issued_at: Moment
    expires_at: Moment
    opened_at: Moment | None
    ended_at: Moment | None
    error: str | None


_OPENING = (
    "why",
    "state",
    "item",
    "proof",
    "reason",
    "attempt",
    "issued_at",
    "expires_at",
    "opened_at",
    "ended_at",
    "error",
)


def opening(row: Record) -> Opening:
    """A row of `show_opening`."""
    rental_id = row["rental_id"]
    return Opening(
        id=str(row["id"]), station=row["station_id"], connector=row["unit"], by=row["by_whom"], driver=row["driver_id"],
        rental=None if rental_id is None else str(rental_id), **{name: row[name] for name in _OPENING},
    )  # fmt: skip


WORDS = {
    "NoCredit": "nothing pays for it: add means of payment, or top the balance up",
    "UnitEmpty": "there is no such item here now",
    "NoEmptySlot": "every door of this cabinet is taken",
    "UnitOccupied": "there is something behind this door",
    "UnitReserved": "this door is kept for somebody else",
    "UnitFaulted": "this door is out of order",
    "NoCustody": "this rental has no item to give back",
    "Busy": "its door has been told to open",
    "NoBatteryAvailable": "too few packs are ready here now",
    "BatteryUnknown": "nobody knows how this pack is",
    "BatteryDamaged": "this pack is out of use",
    "BatterySoHLow": "this pack is too old",
    "BatterySoC": "this pack is not charged yet",
}
"""The protocol's words for refusals, in words for people."""

REASONS = {
    "debt": "a debt is not paid",
    "budget_spent": "the limit of this token is spent",
    "declined": "the payment service declined",
    "timed_out": "the payment service did not answer in time",
    "no_tariff": "this cabinet has no price",
    "psp_unknown": "its payment service is not set up here",
}


def refusal(outcome: Outcome, **more: Any) -> Exception:
    """What was refused, as a problem: 402 nobody pays, 403 the driver may not, 404 no such door, else 409."""
    answer = outcome.asset
    if answer is None or answer.error is None:
        return Conflict(outcome.reason or "this could not be done; it is on the list of parked reports")
    return Problem(
        _status(answer, outcome.reason), _detail(answer, outcome.reason), members={**_members(answer), **more}
    )


def _status(answer: AssetAnswer, reason: str | None) -> int:
    match answer.error:
        case "NoCredit":
            return 402
        case "NotAuthorized" if reason in ("blocked", "driver_blocked"):
            return 403
        case "NotAuthorized" if reason != "no_tariff":
            return 402
        case "UnknownUnit":
            return 404
        case _:
            return 409


def _detail(answer: AssetAnswer, reason: str | None) -> str:
    known = REASONS.get(reason or "") or WORDS.get(answer.error or "")
    return known or (f"the token is refused: {reason}" if reason else str(answer.error))


def _members(answer: AssetAnswer) -> dict[str, object]:
    told: dict[str, object] = {"error": answer.error}
    return told if answer.rental_id is None else {**told, "rental": str(answer.rental_id)}
