"""What is set aside for a use when it starts: the usual hold, a rental's deposit; less where vouchers cover it."""

from __future__ import annotations

from csms.base.money import to_minor
from csms.domain import voucher
from csms.domain.session import Session, Terms
from csms.domain.tariff import Tariff
from csms.domain.world import World


def hold_minor(world: World, session: Session, terms: Terms, driver_id: str | None = None) -> int:
    """What is set aside for a use when it starts: for a rental its deposit too; that alone where vouchers cover it."""
    priced = world.priced_of(session) if session.use == "rental" else None
    if priced is None:
        return terms.hold_minor
    deposit = deposit_minor(priced.tariff, terms)
    return deposit + (0 if _has_vouchers(world, session, priced.tariff, driver_id) else terms.hold_minor)


def is_covered(world: World, session: Session, terms: Terms, driver_id: str | None) -> bool:
    """Whether nothing need be set aside for a rental: its driver's vouchers cover it, and it has no deposit."""
    priced = world.priced_of(session) if session.use == "rental" else None
    if priced is None or deposit_minor(priced.tariff, terms):
        return False
    return _has_vouchers(world, session, priced.tariff, driver_id)


def deposit_minor(tariff: Tariff, terms: Terms) -> int:
    """What a rental is to be given back for, in minor units."""
    return 0 if tariff.own is None else to_minor(tariff.own.deposit, terms.currency)


def begins(session: Session) -> voucher.Begins:
    """Where and when a rental began, as conditions of vouchers ask."""
    return voucher.Begins(
        session.station_id, session.site_id, session.provider_id, session.time_zone, session.opened_at,
        session.site_tags,
    )  # fmt: skip


def _has_vouchers(world: World, session: Session, tariff: Tariff, driver_id: str | None) -> bool:
    """Whether a driver has a voucher, with something left of it, for what this rental's tariff prices."""
    if tariff.own is None or session.currency is None or driver_id is None:
        return False
    mine = world.assets.vouchers.of("driver", driver_id)
    usable = voucher.for_rental(mine, begins(session), session.currency, session.opened_at)
    return voucher.covers(usable, tariff.own)
