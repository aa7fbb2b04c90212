"""
The rows of battery stations: packs, their states, swaps, vouchers, reservations (db/migrations/0018_packs.sql).

NamedTuples, column by column, because they are replaced at every step; `assets.py` holds them by their keys.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from hashlib import md5
from typing import Literal, NamedTuple
from uuid import UUID

from csms.domain.pack_state import Mode, PackState, Source

SwapState = Literal[
    "authorised",
    "unidentified",
    "awaiting_payment",
    "releasing",
    "completed",
    "orphaned",
    "returned",
    "aborted",
]
SWAP_OVER: frozenset[SwapState] = frozenset({"completed", "returned", "aborted"})
Unit = Literal["wh", "sec", "cnt", "val"]
"""What a voucher counts: Wh taken from packs, seconds of holding them, deliveries, or value in minor units."""

TARGET_SOC, SOH_MIN, TEMP_MIN, TEMP_MAX = 9_000, 7_000, 0, 45
"""What a station asks of a pack where nobody has said otherwise: 1/100 %, °C."""


class Level(NamedTuple):
    """A pack's level as it is handed out or comes back; 1/100 %, Wh. `at` is when it was measured."""

    soc: int
    soh: int | None
    capacity_wh: int | None
    discharge_wh: int | None
    charge_wh: int | None
    epoch: int | None
    at: datetime


def alias_of(serial: str) -> str:
    """16 hex characters that stand for a serial where a token has no room for it; the column `pack.alias`."""
    return md5(serial.encode(), usedforsecurity=False).hexdigest()[:16].upper()


class Pack(NamedTuple):
    """
    A pack, and its newest state (`at`, `key`). `source` None: nothing was told of it yet.

    While it is known from stations, a terminal's word does not change this row (`pack_state` keeps both).
    """

    code: str
    serial: str
    capacity_wh: int | None
    soc: int | None
    soh: int | None
    mv: int | None
    ma: int | None
    temp: int | None
    cycles: int | None
    discharge_wh: int | None
    charge_wh: int | None
    epoch: int | None
    made: date | None
    faults: tuple[str, ...]
    mode: Mode | None
    source: Source | None
    at: datetime | None
    key: str
    quarantine: str | None
    version: int

    def level(self) -> Level | None:
        """Its newest level, None where nothing was told."""
        if self.soc is None or self.at is None:
            return None
        return Level(self.soc, self.soh, self.capacity_wh, self.discharge_wh, self.charge_wh, self.epoch, self.at)


class StateRow(NamedTuple):
    """One state of a pack, as it is kept in the series."""

    day: date
    code: str
    at: datetime
    id: str
    source: Source
    station_id: str | None
    unit: int | None
    soc: int
    soh: int | None
    mv: int | None
    ma: int | None
    temp: int | None
    cycles: int | None
    discharge_wh: int | None
    charge_wh: int | None
    epoch: int | None
    capacity_wh: int | None
    faults: tuple[str, ...] | None
    mode: Mode | None


class SlotRules(NamedTuple):
    """What a station asks of a pack that it hands out; `foreign_packs`: what it does with another driver's."""

    target_soc: int = TARGET_SOC
    soh_min: int = SOH_MIN
    temp_min: int = TEMP_MIN
    temp_max: int = TEMP_MAX
    foreign_packs: Literal["return", "accept"] = "return"


class Swap(NamedTuple):
    """
    One visit at a battery station, known by (station, `rid`).

    `units_in`, `packs_in`, `rentals_in` stand side by side: slots that packs were put into, their codes ("" where
    nobody knows the pack), the rentals that they end (None likewise); while it is `authorised`, the slots that are
    kept for them. `units_out`, `packs_out`, `rentals_out`: what is, or was, handed out by it. `wanted` packs are.
    """

    id: UUID
    version: int
    station_id: str
    rid: int
    state: SwapState
    driver_id: str | None
    provider_id: str
    asked_by: str
    proof: str
    wanted: int
    opened_at: datetime
    inserted_at: datetime | None
    ended_at: datetime | None
    checked_at: datetime | None
    units_in: tuple[int, ...]
    packs_in: tuple[str, ...]
    rentals_in: tuple[UUID | None, ...]
    units_out: tuple[int, ...]
    packs_out: tuple[str, ...]
    rentals_out: tuple[UUID | None, ...]
    flags: tuple[str, ...]
    reason: str | None


class Voucher(NamedTuple):
    """
    A right to use that its driver has bought: `total` units; those `used` have released `released_minor` of its price.

    `provider_id` None: at every provider's stations. `carry_until`: what is left at its end may be used until then,
    while another one of the same product is valid. `overuse_price` per kWh, hour or delivery, tax included. It has
    had `uses`, and may have `uses_max`. `terms` are its effect and conditions, as stored (`voucher_terms.stored`).
    `funded_by`: the account that pays for what is used of a gift; None: its driver has paid before. `token_key`: of the
    vehicle for which it was bought, where its conditions ask for that.
    """

    id: UUID
    version: int
    driver_id: str
    provider_id: str | None
    product_id: str
    unit: Unit
    total: int
    used: int
    price_minor: int
    released_minor: int
    currency: str
    vat_percent: Decimal
    overuse_price: Decimal | None
    valid_from: datetime
    valid_until: datetime
    carry_until: datetime | None
    uses: int = 0
    uses_max: int | None = None
    terms: str | None = None
    funded_by: str | None = None
    token_key: bytes | None = None


class VoucherUse(NamedTuple):
    """
    What bill number `revision` of a use took of one voucher; below zero what a credit took back.

    `value_minor`: the part of a price that it took the place of, if known.
    """

    voucher_id: UUID
    session_id: UUID
    units: int
    minor: int
    at: datetime
    value_minor: int | None
    revision: int


class Reservation(NamedTuple):
    """
    Packs that a driver wants kept at a station, on the `days` of the week (1 Monday, 64 Sunday).

    `begins` is minutes after midnight in `time_zone`. `used_on` is the last day for which the driver came.
    """

    id: UUID
    version: int
    station_id: str
    driver_id: str
    item_type: str | None
    wanted: int
    days: int
    begins: int
    minutes: int
    from_date: date
    until_date: date | None
    time_zone: str
    used_on: date | None


def state_row(
    code: str, state: PackState, at: datetime, id_: str, source: Source, place: tuple[str | None, int | None]
) -> StateRow:
    """One state for the series; `place` is (station, slot)."""
    station_id, unit = place
    return StateRow(
        at.date(), code, at, id_, source, station_id, unit, state.soc, state.soh, state.mv, state.ma, state.temp,
        state.cycles, state.discharge_wh, state.charge_wh, state.epoch, state.capacity_wh, state.faults, state.mode,
    )  # fmt: skip
