"""
Packs: what is told of them, which one is handed out next, and what a driver took from one.

A pack is known by the serial that its battery says. Of several that are fit, the fullest go first and of equally full
ones those that were charged least often, so that all are worn alike (shared/stations.md section 4).
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from csms.domain import custody, reservations
from csms.domain.assets import Assets, Door, Item, Key, Rental, put_pack
from csms.domain.errand import Concern
from csms.domain.heard import incident
from csms.domain.pack_rows import Level, Pack, SlotRules, state_row
from csms.domain.pack_state import NoLevel, PackState, Source
from csms.domain.pack_usage import PackUsage, usage
from csms.domain.tariff_own import Own
from csms.domain.world import Changes, World

SOH_DROP_MAX = 1_000
"""A pack whose health falls by more from one report to the next (1/100 %) is looked at by people."""

BUCKET = 500
"""Levels of one bucket (5 %) are equally full."""

SLOTS_MIN = 2
"""A station with fewer slots is none for exchange: nothing could be put in before something is taken."""

UNMEASURED = "usage_unmeasured"
"""The flag of a rental whose pack told no level when it left, or when it came back: no energy is billed."""

ANY = SlotRules()


def code_of(assets: Assets, serial: str) -> str | None:
    """The code of the pack that says this serial, None where nobody knows it."""
    found = assets.packs.of("serial", serial)
    return found[0].code if found else None


def level_of(pack: Pack | None, state: PackState | NoLevel, at: datetime) -> Level | None:
    """A level as it was just told, if it was; what it leaves out is as the pack is known."""
    if isinstance(state, NoLevel):
        return None
    soh = state.soh if state.soh is not None or pack is None else pack.soh
    capacity_wh = pack.capacity_wh if pack is not None and pack.capacity_wh is not None else state.capacity_wh
    return Level(state.soc, soh, capacity_wh, state.discharge_wh, state.charge_wh, state.epoch, at)


def told(
    world: World, changes: Changes, code: str, state: PackState | NoLevel, key: Key, source: Source,
    place: tuple[str | None, int | None], now: datetime, *, believed: bool = True, was_away: bool = False,
) -> None:  # fmt: skip
    """
    A pack's state goes into its series, and is its newest if it is `believed` and no later one is known.

    A terminal's word counts only while no station ever told of the pack: nothing is billed by it otherwise. Of a pack
    that `was_away` nothing is known any more where it does not say how full it is.
    """
    at, id_ = key
    if isinstance(state, NoLevel):
        _told_no_level(world, changes, code, state, key, now, was_away)
        return
    changes.assets.pack_states.append(state_row(code, state, at, id_, source, place))
    pack = world.assets.packs.get(code)
    if pack is None or not believed or (source == "terminal" and pack.source == "station"):
        return
    upstart = source == "station" and pack.source == "terminal"
    if not upstart and pack.at is not None and (pack.at, pack.key) >= key:
        return
    after = pack._replace(
        soc=state.soc, soh=_or(state.soh, pack.soh), mv=state.mv, ma=state.ma, temp=_or(state.temp, pack.temp),
        cycles=_or(state.cycles, pack.cycles), discharge_wh=state.discharge_wh,
        charge_wh=state.charge_wh, epoch=state.epoch,
        capacity_wh=_or(pack.capacity_wh, state.capacity_wh), made=pack.made or state.made,
        faults=pack.faults if state.faults is None else state.faults, mode=state.mode or pack.mode, source=source,
        at=at, key=id_,
    )  # fmt: skip
    _watch(world, changes, pack, after, now)


def _told_no_level(
    world: World, changes: Changes, code: str, state: NoLevel, key: Key, now: datetime, was_away: bool
) -> None:
    """What a station says of a pack besides its level; that is as it was known, if the pack stood there until now."""
    pack = world.assets.packs.get(code)
    if pack is None or (pack.source == "station" and pack.at is not None and (pack.at, pack.key) >= key):
        return
    after = pack._replace(soh=_or(state.soh, pack.soh), made=pack.made or state.made)
    if was_away:
        at, id_ = key
        after = after._replace(
            soc=None, mv=None, ma=None, discharge_wh=None, charge_wh=None, epoch=None, source="station", at=at, key=id_
        )
    _watch(world, changes, pack, after, now)


def _or(known: int | None, otherwise: int | None) -> int | None:
    return otherwise if known is None else known


def _watch(world: World, changes: Changes, before: Pack, after: Pack, now: datetime) -> None:
    """A fault, or a sudden loss of health, takes a pack out of use until staff have looked at it."""
    why = None
    fell = (before.soh or 0) - (0 if after.soh is None else after.soh)
    if after.faults and after.source == "station":
        why = f"fault: {', '.join(after.faults)}"[:200]
    elif fell > SOH_DROP_MAX and after.soh is not None and after.source == "station":
        why = f"health fell by {fell / 100:g} % to {after.soh / 100:g} %"
    if why is not None and before.quarantine is None:
        after = after._replace(quarantine=why)
        item = world.assets.items[after.code]
        id_ = incident(after.code, f"quarantine/{after.at}/{after.key}")
        details: dict[str, object] = {"item": after.code, "why": why, "station": item.station_id, "unit": item.unit}
        changes.concerns.append(
            Concern(id_, "pack_quarantined", f"{after.code}/{now.isoformat()}", item.station_id, details, now)
        )
    put_pack(world.assets, changes.assets, after)


# -- which one --------------------------------------------------------------------------------------------------------


def unfit(pack: Pack | None, item: Item, rules: SlotRules) -> str | None:
    """The protocol's word for why a pack is not handed out, None if it is fit."""
    if pack is None or pack.soc is None or pack.source != "station":
        return "BatteryUnknown"
    if item.state != "ok" or pack.quarantine is not None or pack.faults or pack.mode == "faulted":
        return "BatteryDamaged"
    if pack.soh is not None and pack.soh < rules.soh_min:
        return "BatterySoHLow"
    if pack.temp is not None and not rules.temp_min <= pack.temp <= rules.temp_max:
        return "BatteryDamaged"
    return "BatterySoC" if pack.soc < rules.target_soc else None


def rank(pack: Pack, unit: int) -> tuple[int, int, int, int]:
    """The order in which fit packs are handed out; the smallest first."""
    assert pack.soc is not None
    return -(pack.soc // BUCKET), pack.cycles or 0, -pack.soc, unit


def choose(
    world: World, station_id: str, wanted: int, now: datetime, *, driver_id: str | None, item_type: str | None = None,
    unit: int | None = None, besides: tuple[int, ...] = (), keeper: UUID | None = None,
) -> list[Door] | str:  # fmt: skip
    """
    The slots whose packs are handed out next, or the protocol's word for why there are too few.

    `besides` are slots that were just filled, `keeper` the swap for which slots may be kept already. Packs that others
    have reserved for this time are left for them.
    """
    assets, found, error = world.assets, [], "NoBatteryAvailable"
    rules = assets.slot_rules.get(station_id, ANY)
    doors = assets.of_station(station_id)
    if unit is not None and all(door.unit != unit for door in doors):
        return "UnknownUnit"
    for door in doors:
        item = custody.behind(assets, door)
        if item is None or door.unit in besides or item_type not in (None, item.type):
            error = "UnitEmpty" if door.unit == unit else error
            continue
        pack = assets.packs.get(item.code)
        why = unfit(pack, item, rules)
        if why is not None or not _is_free(assets, door, keeper) or assets.rental_of(item.code) is not None:
            error = (why or "UnitReserved") if door.unit == unit else error
            continue
        assert pack is not None
        found.append((rank(pack, door.unit), door))
    mine = assets.reservations.of("station", station_id)
    kept = reservations.kept_for_others(mine, driver_id, item_type, now)
    if len(found) - kept < wanted:
        return error
    chosen = [door for _, door in sorted(found, key=lambda pair: pair[0]) if unit in (None, door.unit)]
    return chosen[:wanted] if len(chosen) >= wanted else error


def _is_free(assets: Assets, door: Door, keeper: UUID | None) -> bool:
    """Whether nothing else is to happen at a slot."""
    kept = door.reserved_for is not None and door.reserved_for != keeper
    return door.is_usable and not kept and assets.live_grant(door.station_id, door.unit) is None


def empty_slots(assets: Assets, station_id: str) -> list[Door]:
    """Slots that are known to be empty, usable, and promised to nobody."""
    return [
        door
        for door in assets.of_station(station_id)
        if assets.capable.get((station_id, door.unit)) == "battery"
        and custody.is_empty(door)
        and _is_free(assets, door, None)
    ]


def slots_of(assets: Assets, station_id: str) -> int:
    """How many slots a station has."""
    return sum(assets.capable.get((station_id, d.unit)) == "battery" for d in assets.of_station(station_id))


# -- what was taken ---------------------------------------------------------------------------------------------------


def is_pack(assets: Assets, code: str | None) -> bool:
    """Whether an item is a battery."""
    item = assets.items.get(code or "")
    return item is not None and item.kind == "battery"


def with_level_out(assets: Assets, rental: Rental) -> Rental:
    """The rental with the level of its pack as it left: as it was last known."""
    pack = assets.packs.get(rental.item or "")
    return rental if pack is None or rental.level_out is not None else rental._replace(level_out=pack.level())


def with_level_in(assets: Assets, rental: Rental) -> Rental:
    """The rental with the level of its pack as it came back, if that was told since."""
    pack = assets.packs.get(rental.item or "")
    if pack is None or rental.level_in is not None or rental.returned_at is None:
        return rental
    since = pack.source == "station" and pack.at is not None and pack.at >= rental.returned_at
    return rental._replace(level_in=pack.level()) if since else rental


def waits_for_level(assets: Assets, rental: Rental) -> bool:
    """Whether the level of a pack that came back is still to be told."""
    return is_pack(assets, rental.item) and rental.level_in is None


def taken_from(rental: Rental, own: Own | None) -> PackUsage:
    """What was taken from a rental's pack; nothing where nobody measured it."""
    if rental.level_out is None or rental.level_in is None:
        return PackUsage(0, (UNMEASURED,), 0, None)
    return usage(rental.level_out, rental.level_in, "soc" if own is None else own.battery_basis)
