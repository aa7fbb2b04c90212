"""The road's one load and one save: rows of our tables to a World, and Changes to rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar
from uuid import UUID

from csms.base.money import from_minor
from csms.db import SQL, Connection, Record
from csms.domain import tariff_document, usage
from csms.domain.authorization import Authorization
from csms.domain.billing import Bill
from csms.domain.books import Books, Issued, Left
from csms.domain.errand import Concern, Errand
from csms.domain.events import Reading
from csms.domain.pack_rows import Voucher
from csms.domain.rental import ref_of
from csms.domain.session import VOUCHERS, Priced, Progress, Session, Station, Terms
from csms.domain.settlement import Split
from csms.domain.tariff import as_json
from csms.domain.tariff_own import Drawn
from csms.domain.token import key as token_key
from csms.domain.world import Changes, Token, World
from csms.store import assets, evidence
from csms.store.assets import AssetsWanted

PricedKey = tuple[str, int, str, int]
A = TypeVar("A")
B = TypeVar("B")


@dataclass(slots=True)
class Wanted:
    """The keys of the rows that a batch is decided on."""

    stations: set[str] = field(default_factory=set)
    starts_at: dict[str, datetime] = field(default_factory=dict)
    """When a use at a station may start, by which its tariff is chosen; none for one that is past starting."""
    sessions: set[tuple[str, str]] = field(default_factory=set)
    starts: set[tuple[str, str]] = field(default_factory=set)
    tokens: set[tuple[bytes, str]] = field(default_factory=set)
    authorizations: set[UUID] = field(default_factory=set)
    connectors: set[tuple[str, int]] = field(default_factory=set)
    books: set[tuple[str, str]] = field(default_factory=set)
    """Sessions (station, ref) of which all readings and all that is written of their money are wanted."""
    signed: set[bytes] = field(default_factory=set)
    """Digests of signed values, of which it matters whose evidence they are."""
    assets: AssetsWanted = field(default_factory=AssetsWanted)

    def token(self, station_id: str, text: str) -> None:
        """A token presented at a station: its row, its driver's balance, its live authorization there."""
        self.tokens.add((token_key(text), station_id))

    def is_empty(self) -> bool:
        """Whether nothing need be loaded."""
        return self.is_only_assets() and self.assets.is_empty()

    def is_only_assets(self) -> bool:
        """Whether nothing is wanted but items and doors."""
        return not (
            self.stations
            or self.sessions
            or self.starts
            or self.tokens
            or self.authorizations
            or self.connectors
            or self.books
            or self.signed
        )


async def load(conn: Connection, world: World, wanted: Wanted) -> None:
    """Adds the wanted rows to the world; a key without a row stays absent. Rentals come with their money."""
    if not wanted.assets.is_empty():
        await assets.load(conn, world.assets, wanted.assets, wanted.starts_at.values())
        wanted.tokens |= wanted.assets.payers
        wanted.sessions |= {(rental.station_id, ref_of(rental.id)) for rental in world.assets.rentals.values()}
    if wanted.is_only_assets():
        return
    stations = list(wanted.stations)
    row = await SQL.load_world.one(
        conn,
        stations,
        *_columns(wanted.sessions),
        *_columns(wanted.starts),
        list({key for key, _ in wanted.tokens}),
        [station_id for _, station_id in wanted.tokens],
        [key for key, _ in wanted.tokens],
        list(wanted.authorizations),
        *_columns(wanted.connectors),
        [wanted.starts_at.get(station_id) for station_id in stations],
    )
    assert row is not None
    for station in row["stations"]:
        world.stations.setdefault(station[0], _station(station))
    loaded: set[UUID] = set()
    for fields in row["sessions"]:
        session = _session(fields)
        loaded.add(session.id)
        world.sessions[session.station_id, session.ref] = session
        world.starts[session.station_id, session.start_key] = session.ref
        if session.authorization_id is not None and session.state in ("pending", "incomplete"):
            world.waiting.setdefault(session.authorization_id, set()).add((session.station_id, session.ref))
    for session_id, *registers in row["progress"]:
        world.progress[session_id] = Progress(*registers)
    for fields in row["tokens"]:
        budgets, spendings = (tuple(map(tuple, rows)) for rows in fields[-2:])
        world.tokens[fields[0]] = Token(*(*fields[:-2], budgets, spendings))
    for fields in row["vouchers"]:
        voucher = Voucher(*fields)
        world.assets.vouchers[voucher.id] = voucher
    world.vouchers_of |= {token.driver_id for token in world.tokens.values() if token.driver_id is not None}
    world.vouchers_of |= {
        session.driver_id
        for session in world.sessions.values()
        if session.driver_id is not None and VOUCHERS in session.flags and session.id in loaded
    }
    for driver_id, asset, balance in row["balances"]:
        world.balances[driver_id, asset] = balance
    for driver_id, asset, minor in row["debts"]:
        world.debts[driver_id, asset] = minor
    for fields in row["authorizations"]:
        authorization = Authorization(*fields)
        world.authorizations[authorization.id] = authorization
        if authorization.state in ("asking", "authorized"):
            world.live[authorization.station_id, authorization.token_key] = authorization.id
    for issuer, subject, driver_id in row["identities"]:
        world.identities[issuer, subject] = driver_id
    if wanted.books:
        await _load_books(conn, world, wanted.books)
    if wanted.signed:
        world.signed |= await evidence.taken(conn, wanted.signed)


async def _load_books(conn: Connection, world: World, wanted: Iterable[tuple[str, str]]) -> None:
    for row in await SQL.load_books.many(conn, *_columns(wanted)):
        world.series[row["id"]] = tuple(Reading(*reading) for reading in row["series"])
        world.boots[row["id"]] = tuple(row["boots"])
        world.books[row["id"]] = Books(
            tuple(Issued(*bill) for bill in row["issued"]),
            tuple(Left(*payment) for payment in row["payments"]),
            row["collection"],
            row["balance"],
            row["debt"],
            row["receivable"],
            tuple(_taken(part) for part in row["taken"]),
        )
        for fields in row["vouchers"]:
            world.assets.vouchers[fields[0]] = Voucher(*fields)
        if row["driver_id"] is not None and row["currency"] is not None:
            world.balances[row["driver_id"], row["currency"]] = row["balance"]
            world.debts[row["driver_id"], row["currency"]] = row["debt"]


def _taken(fields: Record) -> Drawn:
    voucher_id, unit, units, minor, currency, vat_percent, value_minor, funded_by = fields
    value = from_minor(value_minor or 0, currency)
    return Drawn(voucher_id, unit, units, minor, currency, Fraction(vat_percent), value, funded_by=funded_by)


def _columns(pairs: Iterable[tuple[A, B]]) -> tuple[list[A], list[B]]:
    pairs = list(pairs)
    return [first for first, _ in pairs], [second for _, second in pairs]


def _station(row: Record) -> Station:
    id_, kind, provider_id, site_id, terms_version, *priced, powers, time_zone, portable, tags = row
    tariff_id, tariff_version, currency, hold_minor = priced
    terms = None
    if tariff_id is not None:
        terms = Terms(tariff_id, tariff_version, currency, hold_minor, terms_version)
    return Station(
        id_, kind, provider_id, site_id, terms_version, terms, dict(powers), time_zone, portable, tuple(tags or ())
    )


def _session(row: Record) -> Session:
    session = Session(*row)
    return session._replace(flags=tuple(session.flags), site_tags=tuple(session.site_tags))


async def load_priced(conn: Connection, key: PricedKey) -> Priced:
    """The parsed tariff and split of a session; they never change, so callers may keep them."""
    tariff_id, tariff_version, provider_id, terms_version = key
    document = await SQL.find_tariff.value(conn, tariff_id, tariff_version)
    split = await SQL.find_split.one(conn, provider_id, terms_version)
    assert document is not None
    assert split is not None
    tariff = tariff_document.parse(json.loads(document, parse_float=Decimal))
    *parts, shares_by = split
    return Priced(tariff, Split(*parts), shares_by)


async def save(conn: Connection, changes: Changes) -> None:
    """
    Writes everything in one call, which is one transaction.

    A lost race surfaces as the PostgreSQL error CS001; then nothing is written.
    """
    if changes.signed or changes.gaps or not changes.assets.is_empty():
        async with conn.transaction():
            if changes.signed or changes.gaps:
                await evidence.save(conn, changes.signed, changes.gaps)
            if not changes.assets.is_empty():
                await assets.save(conn, changes.assets)
            if changes.readings or not changes.is_only_readings():
                await _save(conn, changes)
    else:
        await _save(conn, changes)


async def _save(conn: Connection, changes: Changes) -> None:
    readings = _reading_columns(changes)
    if len(changes.readings) and changes.is_only_readings():
        await SQL.save_readings.value(conn, *readings)
        return
    postings = [(p.id, p.key, p.kind, p.ref, p.event_at) for p in changes.postings]
    transfers = [
        (place, seq, t.debit, t.credit, t.asset, t.minor)
        for place, posting in enumerate(changes.postings, 1)
        for seq, t in enumerate(posting.transfers, 1)
    ]
    await SQL.save_world.value(
        conn,
        list(changes.opened.values()),
        sorted(changes.moved.values(), key=_by_id),
        list(changes.asked.values()),
        sorted(changes.decided.values(), key=_by_id),
        [
            (token_key(e.alias), "social", e.psp, e.issuer, e.subject, e.station_id, True, e.expires_at, e.received_at)
            for e in changes.issued
        ],
        sorted(changes.spent.items()),
        [(driver_id, issuer, subject, at) for (issuer, subject), (driver_id, at) in sorted(changes.drivers.items())],
        [_bill_row(bill) for bill in changes.bills],
        [_errand_row(errand) for errand in changes.errands],
        [_concern_row(concern) for concern in changes.concerns],
        [(p.parked_id, p.station_id, p.action, p.reason, p.raw, p.answer, p.received_at) for p in changes.parked],
        [(b.station_id, b.vendor, b.model, b.serial, b.firmware, b.received_at) for b in changes.boots.values()],
        [(e.station_id, e.connector, e.status, e.error_code, e.at) for _, e in sorted(changes.statuses.items())],
        changes.refunds,
        changes.resolved,
        changes.budgets,
        postings,
        transfers,
        *readings,
    )


def _by_id(row: Session | Authorization) -> int:
    return row.id.int


def _reading_columns(changes: Changes) -> tuple[Sequence[Any], ...]:
    if not changes.readings:
        return [], [], [], [], [], []
    days, ids, readings = zip(*changes.readings, strict=True)
    ats, digests, registers, powers = zip(*readings, strict=True)
    return days, ids, ats, digests, registers, powers


def _bill_row(b: Bill) -> tuple[object, ...]:
    s = b.session
    return (
        b.id, s.id, s.station_id, s.connector, s.provider_id, s.site_id, s.driver_id, s.token_masked, s.tariff_id,
        s.tariff_version, s.terms_version, s.means, s.psp, s.currency, s.started_at, s.ended_at, b.energy_wh,
        b.seconds, b.price.total_minor, b.price.vat_minor, b.not_charged_minor, b.shares.operator_minor,
        b.shares.operator_vat_minor, b.shares.provider_minor, json.dumps([as_json(line) for line in b.price.lines]),
        s.flags, b.issued_at, b.revision, b.kind, b.corrects, b.reason, b.made_by, _periods(b), b.shares_by,
        b.shares.host_minor,
    )  # fmt: skip


def _periods(b: Bill) -> str | None:
    return None if b.periods is None else json.dumps([usage.as_json(period) for period in b.periods])


def _errand_row(e: Errand) -> tuple[object, ...]:
    return (e.id, e.kind, e.key, e.subject, json.dumps(e.payload))


def _concern_row(c: Concern) -> tuple[object, ...]:
    return (c.id, c.kind, c.ref, c.station_id, json.dumps(c.details), c.opened_at)
