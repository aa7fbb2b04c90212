"""Packs as clients get them: levels in 1/100 %, energy in Wh, mV, mA, °C, as stations tell them."""

from __future__ import annotations

from datetime import date
from typing import Any

from csms.api.shapes import Answer, Moment
from csms.db import Record


class Measured(Answer):
    """How a pack was at `at`, and who said so: the `station` it stood in, or its driver's `terminal`."""

    at: Moment
    source: str
    soc: int
    soh: int | None
    mv: int | None
    ma: int | None
    temp: int | None
    cycles: int | None
    discharge_wh: int | None
    charge_wh: int | None
    epoch: int | None
    faults: list[str] | None
    mode: str | None


class PackState(Measured):
    """One state of a pack's series; `station` and `connector` are where it stood, if it was told there."""

    id: str
    station: str | None
    connector: int | None
    capacity_wh: int | None


class Pack(Answer):
    """
    A battery: the `serial` that it says, the `alias` that stands for it where a token has no room, its capacity new.

    `newest` is what was last told of it, null before anything was; `quarantine` says why it is not handed out.
    """

    serial: str
    alias: str
    capacity_wh: int | None
    made: date | None
    soc: int | None
    soh: int | None
    cycles: int | None
    faults: list[str]
    quarantine: str | None
    newest: Measured | None


class Custody(Answer):
    """One time that somebody had a pack: with which levels it went and came, and what was taken from it."""

    rental: str
    swap: str | None
    driver: str | None
    state: str
    station: str
    connector: int | None
    taken_at: Moment
    soc_out: int | None
    soh_out: int | None
    returned_at: Moment | None
    return_station: str | None
    return_connector: int | None
    soc_in: int | None
    soh_in: int | None
    battery_wh: int | None
    flags: list[str]


_MEASURED = (
    *("at", "source", "soc", "soh", "mv", "ma", "temp", "cycles", "discharge_wh", "charge_wh", "epoch"),
    *("faults", "mode"),
)
_CUSTODY = (
    *("state", "taken_at", "soc_out", "soh_out", "returned_at", "return_station", "soc_in", "soh_in", "battery_wh"),
    "flags",
)


def pack(row: Record) -> Pack:
    """A row of `show_packs`."""
    names = ("serial", "alias", "capacity_wh", "made", "soc", "soh", "cycles", "faults", "quarantine")
    newest = None if row["source"] is None else Measured(**_named(row, _MEASURED))
    return Pack(newest=newest, **_named(row, names))


def pack_state(row: Record) -> PackState:
    """A row of `list_pack_states`."""
    return PackState(
        id=row["id"], station=row["station_id"], connector=row["unit"], capacity_wh=row["capacity_wh"],
        **_named(row, _MEASURED),
    )  # fmt: skip


def custody(row: Record) -> Custody:
    """A row of `list_custodies`."""
    return Custody(
        rental=str(row["id"]), swap=None if row["swap_id"] is None else str(row["swap_id"]), driver=row["driver_id"],
        station=row["station_id"], connector=row["unit"], return_connector=row["return_unit"],
        **_named(row, _CUSTODY),
    )  # fmt: skip


def _named(row: Record, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}
