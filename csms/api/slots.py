"""The slots of battery stations: the packs in them, which are fit to be handed out, and what a station asks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from csms.api.call import Call, Route
from csms.api.shapes import Answer, Body, Moment
from csms.base.errors import Conflict, NotFound
from csms.db import SQL, Record
from csms.domain import pack_rows
from csms.domain.pack_rows import SlotRules as Rules
from csms.flows import packs, slots

Degrees = Annotated[int, Field(ge=-100, le=200)]


UNKNOWN = slots.Forecast(None, "not_charged")


class NewSlotRules(Body):
    """
    What a station asks of a pack before it hands it out: levels in 1/100 %, as stations tell them, and °C.

    `foreign_packs`: a pack that another driver has rented is given back, or accepted and billed to whoever has it.
    """

    target_soc: Annotated[int, Field(ge=1, le=10_000, description="1/100 %")] = pack_rows.TARGET_SOC
    soh_min: Annotated[int, Field(ge=0, le=10_000, description="1/100 %")] = pack_rows.SOH_MIN
    temp_min: Degrees = pack_rows.TEMP_MIN
    temp_max: Degrees = pack_rows.TEMP_MAX
    foreign_packs: Literal["return", "accept"] = "return"

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.temp_min >= self.temp_max:
            raise ValueError("temp_min is below temp_max")
        return self


class SlotRules(Answer):
    """What a station asks of its packs; levels in 1/100 %, °C."""

    station: str
    target_soc: int
    soh_min: int
    temp_min: int
    temp_max: int
    foreign_packs: str


class SlotPack(Answer):
    """
    The pack in a slot; levels in 1/100 %.

    `fit`: the station may hand it out; else `unfit` is the protocol's word for why not. `ready_at` is when it will have
    reached the station's target, null where nobody knows: then `unready` says why. `not_charged`: it is not fit to
    be, or unknown. `no_power`: the limit of the site leaves nothing for it, or its slot's power is not known.
    """

    item: str
    serial: str | None
    type: str
    capacity_wh: int | None
    soc: int | None
    soh: int | None
    mode: str | None
    cycles: int | None
    measured_at: Moment | None
    quarantine: str | None
    fit: bool
    unfit: str | None
    ready_at: Moment | None
    unready: Literal["not_charged", "no_power"] | None


class Slot(Answer):
    """A slot. `free`: a pack can be put in; `reserved`: it is kept for somebody."""

    connector: int
    door: str
    free: bool
    reserved: bool
    fault: str | None
    out_of_service: bool
    known_at: Moment | None
    pack: SlotPack | None


class Slots(Answer):
    """The slots of a station."""

    station: str
    items: list[Slot]


async def put_rules(call: Call) -> SlotRules:
    """Set what a station asks of its packs; what is left out is as usual: 90 %, 70 %, 0 to 45 °C, `return`."""
    new: NewSlotRules = call.body
    row = await _station(call)
    if row["kind"] != "battery_station":
        raise Conflict(f"station {row['id']} has no slots: it is no battery station")
    await SQL.put_slot_rules.run(
        call.conn, row["id"], new.target_soc, new.soh_min, new.temp_min, new.temp_max, new.foreign_packs
    )
    return await show_rules(call)


async def show_rules(call: Call) -> SlotRules:
    """What a station asks of its packs."""
    row = await _station(call)
    return SlotRules(station=row["id"], **_rules(row)._asdict())


async def list_slots(call: Call) -> Slots:
    """The slots of a station with their packs: how full, whether fit to be handed out, and when they will be ready."""
    station = await _station(call)
    rules, station_id = _rules(station), station["id"]
    rows = await SQL.list_slots.many(call.conn, station_id)
    ready = await slots.forecast(call.conn, station_id, call.parts.clock())
    return Slots(station=station_id, items=[_slot(row, rules, ready) for row in rows])


async def _station(call: Call) -> Record:
    row = await SQL.show_slot_rules.one(call.conn, call.path["station"])
    if row is None:
        raise NotFound(f"there is no station {call.path['station']}")
    return row


def _rules(row: Record) -> Rules:
    """What was set, or what is usual."""
    return Rules() if row["target_soc"] is None else Rules(**{name: row[name] for name in Rules._fields})


def _slot(row: Record, rules: Rules, ready: Mapping[int, slots.Forecast]) -> Slot:
    return Slot(
        connector=row["connector"], door=row["door"], free=bool(row["is_free"]), reserved=row["is_reserved"],
        fault=row["fault"], out_of_service=row["out_of_service"], known_at=row["known_at"],
        pack=None if row["item"] is None else _pack(row, rules, ready),
    )  # fmt: skip


def _pack(row: Record, rules: Rules, ready: Mapping[int, slots.Forecast]) -> SlotPack:
    why, forecast = packs.unfit(row, rules), ready.get(row["connector"], UNKNOWN)
    names = ("item", "serial", "capacity_wh", "soc", "soh", "mode", "cycles", "quarantine")
    return SlotPack(
        type=row["item_type"], measured_at=row["at"], fit=why is None, unfit=why,
        ready_at=forecast.ready_at, unready=forecast.unready, **{name: row[name] for name in names},
    )  # fmt: skip


SEE = ("stations:read",)
SET_UP = ("stations:write",)

ROUTES: tuple[Route, ...] = (
    Route(
        "PUT", "/stations/{station}/slot-rules", put_rules, SET_UP, "Set what a station asks of its packs",
        SlotRules, NewSlotRules,
    ),
    Route(
        "GET", "/stations/{station}/slot-rules", show_rules, SEE, "Show what a station asks of its packs",
        SlotRules,
    ),
    Route(
        "GET", "/stations/{station}/slots", list_slots, SEE, "List the slots of a station and the packs in them",
        Slots,
    ),
)  # fmt: skip
