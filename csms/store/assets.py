"""Items, doors, grants and rentals: rows of our tables to what a batch is decided on, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from csms.db import SQL, Connection, Record
from csms.domain.asset_events import AssetAnswer
from csms.domain.assets import AssetChanges, Assets, Cabinet, Door, Grant, Host, Item, Rental, unknown_door
from csms.domain.connector import KINDS
from csms.domain.pack_rows import Level, Pack, Reservation, SlotRules, Swap, Voucher

R = TypeVar("R", Rental, Grant, Swap, Voucher, Reservation)


@dataclass(slots=True)
class AssetsWanted:
    """The keys of the rows that reports of items and doors are decided on."""

    stations: set[str] = field(default_factory=set)
    """Cabinets: with all their doors, and what stands behind them."""
    doors: set[tuple[str, int]] = field(default_factory=set)
    """Single doors (station, unit): with what stands behind them, and the newest grants to open them."""
    items: set[str] = field(default_factory=set)
    grants: set[UUID] = field(default_factory=set)
    rentals: set[UUID] = field(default_factory=set)
    reports: set[tuple[str, str]] = field(default_factory=set)
    """(station, id) of reports that may have been heard before."""
    tokens: set[bytes] = field(default_factory=set)
    """Keys of tokens whose drivers' open rentals, and vouchers, are wanted."""
    serials: set[str] = field(default_factory=set)
    """Packs by what their batteries say, or by the alias of it."""
    told_serials: set[str] = field(default_factory=set)
    """Packs whose state is told, as most reports do: the pack, and its rental if that waits for its level."""
    told_doors: set[tuple[str, int]] = field(default_factory=set)
    """Slots (station, unit) in which they are: with what stands there, without what that was lent by."""
    told_states: set[tuple[str, str, date, str]] = field(default_factory=set)
    """(serial, station, day, id) of states that may have been told before."""
    rids: set[tuple[str, int]] = field(default_factory=set)
    """(station, number) of swaps: the newest, and the one before it."""
    swaps: set[UUID] = field(default_factory=set)
    payers: set[tuple[bytes, str]] = field(default_factory=set)
    """Filled by loading: (token key, station) of whoever pays for the packs that are out, or were just put in."""

    def is_empty(self) -> bool:
        """Whether nothing need be loaded."""
        return not (self.told_serials or self.told_doors) and self.is_only_told()

    def is_only_told(self) -> bool:
        """Whether nothing is wanted but packs whose state is told: then a small load will do."""
        return not (
            self.stations
            or self.doors
            or self.items
            or self.grants
            or self.rentals
            or self.reports
            or self.tokens
            or self.serials
            or self.rids
            or self.swaps
        )


async def load(conn: Connection, assets: Assets, wanted: AssetsWanted, starts_at: Iterable[datetime]) -> None:
    """
    Adds the wanted rows; a key without a row stays absent, a door that nobody reported yet is an unknown one.

    `starts_at`: when uses may begin; vouchers that ended long before are left out.

    The query is planned once, maybe while its tables are empty, for batches of one report and of thousands. To an
    empty table all indexes are alike: so each look-up is fenced (`offset 0`, `limit`) and asks for an order that
    only its own index has.
    """
    if wanted.is_only_told():
        told = await SQL.load_told.one(conn, list(wanted.told_serials), *_told_doors(wanted), *_told_states(wanted))
        assert told is not None
        if not told["waits"]:
            _things(assets, told)
            return
    row = await SQL.load_assets.one(
        conn,
        list(wanted.stations),
        list(wanted.items),
        list(wanted.grants),
        list(wanted.rentals),
        [station_id for station_id, _ in wanted.reports],
        [id_ for _, id_ in wanted.reports],
        list(wanted.tokens),
        [station_id for station_id, _ in wanted.doors],
        [unit for _, unit in wanted.doors],
        list(wanted.serials),
        [station_id for station_id, _ in wanted.rids],
        [rid for _, rid in wanted.rids],
        list(wanted.swaps),
        list(wanted.told_serials),
        *_told_doors(wanted),
        *_told_states(wanted),
        list(starts_at),
    )
    assert row is not None
    _things(assets, row)
    for fields in row["grants"]:
        grant = Grant(*fields)
        assets.grants[grant.id] = grant
    for fields in row["rentals"]:
        rental = Rental(*fields)
        assets.rentals[rental.id] = rental._replace(
            flags=tuple(rental.flags), level_out=_level(fields[-3]), level_in=_level(fields[-2])
        )
    for tag, site_id, host_bp, tags in row["hosts"]:
        assets.hosts[tag] = Host(site_id, host_bp, tuple(tags))
    for station_id, id_, error, grant_id, unit, expires_at, rental_id in row["reported"]:
        assets.reported[station_id, id_] = AssetAnswer(error, False, grant_id, unit, expires_at, rental_id)
    assets.looked_up |= wanted.items
    for station_id, since, until in row["outages"]:
        assets.outages.setdefault(station_id, []).append((since, until))
    _packs(assets, row)
    wanted.payers |= {(key, station_id) for key, station_id in row["payers"]}


def _told_doors(wanted: AssetsWanted) -> tuple[list[str], list[int]]:
    return [station_id for station_id, _ in wanted.told_doors], [unit for _, unit in wanted.told_doors]


def _told_states(wanted: AssetsWanted) -> tuple[list[str], list[str], list[date], list[str]]:
    states = list(wanted.told_states)
    return [it[0] for it in states], [it[1] for it in states], [it[2] for it in states], [it[3] for it in states]


def _things(assets: Assets, row: Record) -> None:
    """What stands where."""
    for fields in row["items"]:
        item = Item(*fields)
        assets.items[item.code] = item
    for kind, station_id, unit, *fields in row["doors"]:
        holds = KINDS[kind].holds
        assert holds is not None
        assets.capable[station_id, unit] = holds
        known = fields[-1] is not None
        assets.doors[station_id, unit] = Door(station_id, unit, *fields) if known else unknown_door(station_id, unit)
    for fields in row["cabinets"]:
        assets.cabinets[fields[0]] = Cabinet(*fields)
    for fields in row["packs"]:
        pack = Pack(*fields)
        assets.packs[pack.code] = pack._replace(faults=tuple(pack.faults))
    assets.states_told |= {(code, station_id, id_) for code, station_id, id_ in row["states_told"]}


def _packs(assets: Assets, row: Record) -> None:
    """What only battery stations have."""
    for fields in row["swaps"]:
        swap = Swap(*fields)
        assets.swaps[swap.id] = swap._replace(
            units_in=tuple(swap.units_in),
            packs_in=tuple(swap.packs_in),
            rentals_in=tuple(swap.rentals_in),
            units_out=tuple(swap.units_out),
            packs_out=tuple(swap.packs_out),
            rentals_out=tuple(swap.rentals_out),
            flags=tuple(swap.flags),
        )
    for fields in row["vouchers"]:
        voucher = Voucher(*fields)
        assets.vouchers[voucher.id] = voucher
    for fields in row["reservations"]:
        kept = Reservation(*fields)
        assets.reservations[kept.id] = kept
    for station_id, *rules in row["slot_rules"]:
        assets.slot_rules[station_id] = SlotRules(*rules)


def _level(fields: Sequence[Any]) -> Level | None:
    """Column by column: a record tells the types of its fields only where they are PostgreSQL's own."""
    return None if fields[0] is None else Level(*fields)


async def save(conn: Connection, changes: AssetChanges) -> None:
    """Writes what is new of them; a lost race surfaces as the PostgreSQL error CS001, and nothing is written."""
    if changes.is_only_cabinets():
        await SQL.save_cabinets.value(conn, [changes.cabinets[key] for key in sorted(changes.cabinets)])
    elif changes.is_of_lending():
        await SQL.save_assets.value(
            conn,
            changes.reports,
            _sorted(changes.rentals.values()),
            [changes.items[code] for code in sorted(changes.items)],
            [changes.doors[key] for key in sorted(changes.doors)],
            _sorted(changes.grants.values()),
            [changes.cabinets[key] for key in sorted(changes.cabinets)],
        )
    if changes.is_of_packs():
        await SQL.save_packs.value(
            conn,
            [changes.packs[code] for code in sorted(changes.packs)],
            changes.pack_states,
            _sorted(changes.swaps.values()),
            [(v.id, v.version, v.used, v.released_minor, v.uses) for v in _sorted(changes.vouchers.values())],
            changes.voucher_uses,
            [(k.id, k.version, k.used_on) for k in _sorted(changes.reservations.values())],
        )


def _sorted(rows: Iterable[R]) -> list[R]:
    """In the order of ids, so that two writers never wait for each other in a circle."""
    return sorted(rows, key=lambda row: row.id.int)
