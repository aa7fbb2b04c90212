"""How packs in slots are charged: what it is planned from, what stations were told, and when packs will be ready."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import ceil
from typing import Literal, NamedTuple

from csms.db import SQL, Connection, Record
from csms.domain import voucher_windows as windows
from csms.domain.charging_order import Charging, Place, Slot, need_of, plan
from csms.domain.pack_rows import TARGET_SOC, Pack
from csms.domain.pack_usage import WHOLE
from csms.domain.slot_limits import NOTHING, Limits
from csms.domain.slot_plans import Change, Told, changes
from csms.domain.slot_plans import Connection as At
from csms.domain.tariff_clock import zone_of
from csms.flows import voucher_windows

POWER_W_MAX = 1_000_000
"""What a slot is told whose limit is lifted, where nobody knows how much it can take."""


@dataclass(frozen=True, slots=True)
class Station:
    """A battery station: what it asks of its packs, what it was told, and how it is connected."""

    id: str
    target_soc: int
    told: Told
    at: At

    def standing(self, unit: int, now: datetime) -> Limits | None:
        """What a slot takes by what it was told."""
        return self.told.standing(unit, self.at.booted_at, now)


@dataclass(frozen=True, slots=True)
class Site:
    """What draws on one limit (None: there is none): `stations` by id. `id` None: they stand at no site."""

    id: str | None
    cap_w: int | None
    stations: Mapping[str, Station]
    slots: tuple[Slot, ...]

    def plan(self) -> dict[Place, Charging]:
        """How its packs are charged from now on."""
        return plan(self.slots, self.cap_w)

    def changes(self, now: datetime) -> list[Change]:
        """What has to be told to whom; nothing to who is left alone. Without a limit, what was told is lifted."""
        free = [slot for slot in self.slots if slot.fixed is None]
        standing = {slot.place: self.stations[slot.station_id].standing(slot.unit, now) for slot in free}
        if self.cap_w is not None:
            planned = {place: charging.limits for place, charging in self.plan().items()}
            return changes(standing, planned, self.cap_w)
        most = {slot.place: ((slot.slot_power_w or POWER_W_MAX, 0),) for slot in free}
        return [Change(*place, most[place], lifts=True) for place, limits in standing.items() if limits is not None]


class Forecast(NamedTuple):
    """
    When a pack will have reached its target; else why that is not known.

    `not_charged`: it has a fault, or nobody knows how it is. `no_power`: the site's limit leaves nothing for it in the
    time that is planned, or how much its slot can take is not known.
    """

    ready_at: datetime | None
    unready: Literal["not_charged", "no_power"] | None


async def forecast(conn: Connection, station_id: str, now: datetime) -> Mapping[int, Forecast]:
    """
    When the pack in each slot of a battery station will have reached its target.

    Reads as whoever may see the station; a driver sees no stations, so it is asked on a connection of staff.
    """
    rows = await SQL.stations_beside.many(conn, station_id)
    if not rows:
        return {}
    [site] = await _sites(conn, rows, now)
    found = site.plan()
    return {slot.unit: _forecast(slot, found[slot.place], now) for slot in site.slots if slot.station_id == station_id}


def _forecast(slot: Slot, charging: Charging, now: datetime) -> Forecast:
    if charging.ready_at is not None:
        return Forecast(now + timedelta(minutes=charging.ready_at), None)
    return Forecast(None, "not_charged" if slot.need_wh is None else "no_power")


async def sites_under_cap(conn: Connection, after: str, count: int, now: datetime) -> list[Site]:
    """The next sites after one, by id, whose stations share a limit."""
    return await _sites(conn, await SQL.stations_under_cap.many(conn, after, count), now)


async def stations_to_free(conn: Connection, count: int, now: datetime) -> list[Site]:
    """Stations that were told of a limit, and have none any more."""
    return await _sites(conn, await SQL.stations_to_free.many(conn, count), now)


async def _sites(conn: Connection, rows: Sequence[Record], now: datetime) -> list[Site]:
    stations = {row["station_id"]: _station(row, row["target_soc"] or TARGET_SOC) for row in rows}
    slots: dict[str, list[Slot]] = {}
    for row in await SQL.slots_of_stations.many(conn, list(stations)):
        station = stations[row["station_id"]]
        slots.setdefault(station.id, []).append(_slot(row, station, now))
    limited = {row["site_id"]: row["time_zone"] for row in rows if row["power_cap_w"] is not None}
    sold = await voucher_windows.loads(conn, list(limited), now) if limited else {}
    sites = []
    for (site_id, cap_w), of_site in groupby(rows, key=lambda row: (row["site_id"], row["power_cap_w"])):
        ids = [row["station_id"] for row in of_site]
        its_slots = tuple(slot for id_ in ids for slot in slots.get(id_, ()))
        if site_id in sold and cap_w is not None:  # what was sold for these hours is kept for whoever bought it
            local = now.astimezone(zone_of(limited[site_id]))
            cap_w = max(0, cap_w - ceil(windows.at(sold[site_id], local)))
        sites.append(Site(site_id, cap_w, {id_: stations[id_] for id_ in ids}, its_slots))
    return sites


def _station(row: Record, target_soc: int) -> Station:
    return Station(row["station_id"], target_soc, _told(row["plan"]), At(row["epoch"], row["booted_at"]))


def _slot(row: Record, station: Station, now: datetime) -> Slot:
    """What a slot lacks. One whose station is left alone takes what it was told to, or else all that it can."""
    pack = None if row["code"] is None else Pack(*(row[name] for name in Pack._fields))
    is_charged = pack is not None and row["item_state"] == "ok" and not row["out_of_service"]
    need_wh = need_of(pack, station.target_soc) if is_charged and pack is not None else None
    fixed = None
    if station.told.is_left_alone(row["unit"], station.at.epoch, now):
        fixed = station.standing(row["unit"], now) or _unbridled(row, pack)
    return Slot(station.id, row["unit"], need_wh, row["max_power_w"], fixed=fixed)


def _unbridled(row: Record, pack: Pack | None) -> Limits:
    """What a slot takes that was told nothing: all it can, unless it is empty or its pack full."""
    if row["item"] is None or (pack is not None and pack.soc == WHOLE):
        return NOTHING
    return ((row["max_power_w"] or 0, 0),)


async def told(conn: Connection, stations: Iterable[str]) -> dict[str, Station]:
    """What stations were told up to now."""
    rows = await SQL.slot_plans.many(conn, list(stations))
    return {row["station_id"]: _station(row, TARGET_SOC) for row in rows}


async def record(conn: Connection, plans: Mapping[str, Told], now: datetime) -> None:
    """What stations have been told; of two that record the same number, the first counts."""
    await SQL.record_slot_plans.run(conn, list(plans), [_written(plan) for plan in plans.values()], now)


def _told(text: str | None) -> Told:
    if text is None:
        return Told()
    found = json.loads(text)
    slots = {
        int(unit): (datetime.fromisoformat(begins), tuple((watts, minutes) for watts, minutes in limits))
        for unit, (begins, limits) in found["slots"].items()
    }
    refused = {int(unit): (times, datetime.fromisoformat(at)) for unit, (times, at) in found["refused"].items()}
    again_at = None if found["again_at"] is None else datetime.fromisoformat(found["again_at"])
    return Told(found["number"], slots, refused, found["failures"], again_at, found["epoch"])


def _written(plan: Told) -> str:
    return json.dumps({
        "number": plan.number,
        "slots": {unit: (begins.isoformat(), limits) for unit, (begins, limits) in plan.slots.items()},
        "refused": {unit: (times, again_at.isoformat()) for unit, (times, again_at) in plan.refused.items()},
        "failures": plan.failures,
        "again_at": None if plan.again_at is None else plan.again_at.isoformat(),
        "epoch": plan.epoch,
    })  # fmt: skip
