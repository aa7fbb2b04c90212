"""Authorize: a token is shown, and nothing begins yet."""

from __future__ import annotations

from csms.domain import budget, payer, portable, token, voucher_session
from csms.domain.events import Outcome, TokenPresented
from csms.domain.holding import deposit_minor
from csms.domain.quote import quote_at
from csms.domain.world import Changes, World


def presented(world: World, changes: Changes, event: TokenPresented) -> Outcome:
    """Authorize: nothing is spent by it, and a token whose session runs may be shown again to end it."""
    key = token.key(event.token)
    known = world.tokens.get(key)
    terms = world.stations[event.station_id].terms
    live = payer.live_of(world, event.station_id, key)
    spent_on = known.session_id if known and known.session_open else None
    reason = payer.objection(
        known, event.station_id, spent_on, event.received_at, live is not None or spent_on is not None
    )
    if reason is None and terms is None:
        reason = "no_tariff"
    if reason is None and known is not None and known.psp is not None and known.psp not in world.rules.policies:
        reason = "psp_unknown"
    if reason is None and spent_on is None and known is not None and payer.owes(world, known):
        reason = "debt"
    if reason is None and spent_on is None and known is not None and world.stations[event.station_id].portable:
        reason = portable.objection(world, changes, None, payer.person(world, known), None, event.station_id)
    if reason is not None:
        return payer.refusal(reason)
    assert known is not None and terms is not None
    if spent_on is not None:
        return Outcome("accepted")
    station = world.stations[event.station_id]
    told = quote_at(world, station)
    own = voucher_session.own_prices(world, station, known, payer.person(world, known), told, event.received_at)
    if known.psp is None:
        credit = known.driver_id is not None and world.balances.get((known.driver_id, terms.currency), 0) > 0
        if voucher_session.pays_at(world, station, known, event.received_at):
            return Outcome("accepted", quote=told, own=own)
        if credit and budget.left(known, terms.currency, event.received_at) <= 0:
            return payer.refusal("budget_spent")
        return Outcome("accepted", quote=told, own=own) if credit else payer.refusal("no_credit")
    wanted = terms.hold_minor
    if told is not None and station.kind != "charger":  # what follows is a rental
        wanted += deposit_minor(told.tariff, terms)
    authorization = payer.ask(world, changes, known, terms, event, wanted)
    waits_for = authorization.id if authorization.state == "asking" else None
    return Outcome("accepted", waits_for=waits_for, quote=told, own=own)
