"""
Vouchers of a driver who charges: whether they let a session begin, and what of it they pay for.

A session whose driver has vouchers that cover charging there is flagged: its end finds them again. They must be
valid when it begins (quirk Q-T11), whenever it is told. What they and the hold do not reach is owed.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from csms.domain import portable, voucher, voucher_charge, voucher_prices
from csms.domain.pack_rows import Voucher
from csms.domain.quote import Quote
from csms.domain.session import VOUCHERS, Priced, Session, Station, flagged, opened
from csms.domain.tariff import Usage
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_restrictions import State
from csms.domain.voucher_charge import Begun
from csms.domain.voucher_terms import HUNDRED, stored
from csms.domain.world import Changes, Token, World

NONE: frozenset[UUID] = frozenset()
UNBORN = UUID(int=0)
"""The id of a session that is only thought of."""


def begin(world: World, session: Session, driver_id: str | None) -> Session:
    """The session, flagged if its driver has vouchers that may cover it."""
    mine = usable(world, session, driver_id) if session.use == "charge" else []
    if not any(one.used < one.total or one.overuse_price is not None for one in mine):
        return session
    return session._replace(flags=flagged(session.flags, VOUCHERS))


def stands_in(world: World, session: Session, driver_id: str | None) -> bool:
    """Whether a voucher pays for all that such a session takes now, so that nothing need be set aside for it."""
    if session.use != "charge":
        return False
    local = _began(session).astimezone(zone_of(session.time_zone)).replace(tzinfo=None)
    state = State(local, 0, 0, None, None, None, None)
    energy_alone = _is_energy_alone(world, session)
    return any(_pays_all(one, state, energy_alone) for one in usable(world, session, driver_id))


def _began(session: Session) -> datetime:
    """When vouchers must be valid: as its tariff is chosen, by our clock but for what began while nobody listened."""
    return session.started_at if session.offline and session.started_at is not None else session.opened_at


def _is_energy_alone(world: World, session: Session) -> bool:
    """Whether its tariff asks for nothing but the Wh that flow: then a voucher of Wh pays all of it."""
    if session.tariff_id is None or session.tariff_version is None:
        return False
    priced = world.priced.get((session.tariff_id, session.tariff_version, session.provider_id, session.terms_version))
    if priced is None or priced.tariff.min_price is not None:
        return False
    told = [c for element in priced.tariff.elements if element.reserved is None for c in element.components]
    return all(component.dimension == "ENERGY" and component.step_size <= 1 for component in told)


def pays_at(world: World, station: Station, known: Token, at: datetime) -> bool:
    """The same of a token that is shown at a station before any session."""
    if known.driver_id is None:
        return False
    return stands_in(world, _thought_of(world, station, known, at), known.driver_id)


def own_prices(
    world: World, station: Station, known: Token, driver_id: str | None, told: Quote | None, at: datetime
) -> Quote | None:
    """What a driver with a voucher may be shown at a station instead of `told`; None: nothing else."""
    if told is None or driver_id is None or station.kind != "charger":
        return None
    tariff = voucher_prices.with_best(told.tariff, usable(world, _thought_of(world, station, known, at), driver_id))
    return None if tariff is None else Quote(f"{told.name}/v", tariff, told.zone)


def _thought_of(world: World, station: Station, known: Token, at: datetime) -> Session:
    """The session that a token which is shown there would begin."""
    asked = opened(station, UNBORN, "", "", offline=False, received_at=at)
    asked = asked._replace(token_key=known.key, stands_for=known.stands_for)
    return portable.at_its_outlet(world, asked) if station.portable else asked


def _pays_all(one: Voucher, state: State, energy_alone: bool) -> bool:
    terms = stored(one.terms, one.unit)
    all_of_it = terms.effect.kind in ("included", "percent_off") and terms.effect.percent == HUNDRED
    reaches = one.unit == "val" or (one.unit == "wh" and energy_alone)
    return reaches and one.used < one.total and all_of_it and terms.conditions.during(state)


def usable(world: World, session: Session, driver_id: str | None, before: frozenset[UUID] = NONE) -> list[Voucher]:
    """
    The vouchers of a driver that may pay for a session, used up or not, if they are loaded.

    Those that paid for it `before`, by a bill that is taken back, may again, whatever became of what allowed it.
    """
    if driver_id is None or session.currency is None:
        return []
    mine = world.assets.vouchers.of("driver", driver_id)
    valid = voucher.valid(mine, session.provider_id, session.currency, _began(session))
    begun = Begun(session.station_id, session.site_id, session.site_tags, session.token_owner)
    found = voucher_charge.usable(valid, begun)
    known = {one.id for one in found}
    return [*found, *(world.assets.vouchers[id_] for id_ in sorted(before - known))]


def lacks(world: World, changes: Changes, session: Session) -> bool:
    """Whether its driver's vouchers are not loaded; then they are asked for, and all is decided again."""
    if VOUCHERS not in session.flags or session.driver_id is None or session.driver_id in world.vouchers_of:
        return False
    changes.lacking.add((session.station_id, session.ref))
    return True


def covered(world: World, session: Session, priced: Priced, used: Usage, before: frozenset[UUID] = NONE) -> Usage:
    """
    `used` with what its driver's vouchers take of it. It has periods, its driver's vouchers are loaded.

    `before`: those that paid for it by a bill that is taken back.
    """
    if VOUCHERS not in session.flags or used.periods is None or used.energy_wh == 0 or session.currency is None:
        return used
    mine = usable(world, session, session.driver_id, before)
    return voucher_charge.covered(used, priced.tariff, session.time_zone, mine)


class Ahead(NamedTuple):
    """What vouchers still pay whole of a running session: Wh, and whether that may change with the clock."""

    wh: int
    asks_the_clock: bool


def ahead(world: World, session: Session, used: Usage) -> Ahead:
    """What is left of them after what the session has used so far (`covered`)."""
    mine = usable(world, session, session.driver_id)
    taken = {part.voucher_id: part.units for part in used.drawn}
    wh, asks = 0, False
    for one in mine:
        terms = stored(one.terms, one.unit)
        told = terms.conditions.restrictions
        asks = asks or told is not None
        if one.unit == "wh" and terms.effect.percent == HUNDRED and terms.effect.kind in ("included", "percent_off"):
            wh += max(0, one.total - one.used - taken.get(one.id, 0))
    return Ahead(wh, asks)
