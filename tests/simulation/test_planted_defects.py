"""The simulation is trusted because it finds these: each defect is planted, and a law must break by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from csms.base.money import half_up, to_minor
from csms.domain import billing, decide, payer, settlement
from csms.domain.authorization import Authorization
from csms.domain.events import RECORDED, AuthorizationDecided, Outcome, SessionEnded, SessionStarted
from csms.domain.ledger import Move
from csms.domain.metering import judge
from csms.domain.session import NOTHING, Priced, Session
from csms.domain.settlement import Shares, Split
from csms.domain.tariff import Price, Tariff, Usage, price
from csms.domain.world import Changes, World
from csms.store.road import Wanted
from tests.simulation.laws import broken
from tests.simulation.play import Gateway, Part, Play, day
from tests.simulation.store import Store
from tests.simulation.town import SPLIT, TARIFF

CHARGES = 600
SEEDS = range(11, 17)
"""Some defects need luck: a crash or another gateway at the right moment. One of these days has it."""

Planted = frozenset[str]
Plant = Callable[[pytest.MonkeyPatch], Planted]


def no_dedupe_of_starts(patch: pytest.MonkeyPatch) -> Planted:
    """A retried start of 1.6 is taken for another one."""
    real = decide.DECIDERS[SessionStarted]

    def started(world: World, changes: Changes, event: SessionStarted) -> Outcome:
        return real(world, changes, replace(event, start_key=event.ref))

    patch.setitem(decide.DECIDERS, SessionStarted, started)
    return frozenset()


def dedupe_by_frame(patch: pytest.MonkeyPatch) -> Planted:
    """What makes an end a repeat is its frame, not its transaction: the same end opens another session."""
    real = decide.DECIDERS[SessionEnded]

    def ended(world: World, changes: Changes, event: SessionEnded) -> Outcome:
        stored = world.sessions.get((event.station_id, event.ref))
        again = stored is not None and stored.ended_at is not None
        return real(world, changes, replace(event, ref=f"{event.ref}/{event.session_id}") if again else event)

    patch.setitem(decide.DECIDERS, SessionEnded, ended)
    return frozenset()


def no_closed_check(patch: pytest.MonkeyPatch) -> Planted:
    """Every end closes its session, also one that is closed; nothing unique stands in the way."""
    real = decide.DECIDERS[SessionEnded]

    def ended(world: World, changes: Changes, event: SessionEnded) -> Outcome:
        session = world.sessions.get((event.station_id, event.ref))
        if session is not None and session.state == "completed":
            world.sessions[event.station_id, event.ref] = session._replace(state="active", ended_at=None)
        return real(world, changes, event)

    patch.setitem(decide.DECIDERS, SessionEnded, ended)
    return frozenset({"bills", "postings"})


def answer_before_commit(patch: pytest.MonkeyPatch) -> Planted:
    """Stations are answered once it is decided."""
    real = Play.commit

    def commit(play: Play, gateway: Gateway, life: int, part: Part) -> None:
        for (_, reply), outcome in zip(part.batch, part.outcomes, strict=True):
            if gateway.life == life and outcome.waits_for is None:
                reply(outcome)
        real(play, gateway, life, part)

    patch.setattr(Play, "commit", commit)
    return frozenset()


def no_version_check(patch: pytest.MonkeyPatch) -> Planted:
    """Who saves last wins."""
    return frozenset({"versions"})


def refs_without_their_station(patch: pytest.MonkeyPatch) -> Planted:
    """A transaction id is looked up alone."""
    real = Store.load

    def load(store: Store, world: World, wanted: Wanted) -> None:
        real(store, world, wanted)
        for station_id, ref in wanted.sessions:
            for (other, other_ref), session in list(store.sessions.items()):
                if other_ref == ref and other != station_id:
                    world.sessions.setdefault((station_id, ref), session)
                    world.stations[other] = store.stations[other]

    patch.setattr(Store, "load", load)
    return frozenset({"versions"})


def a_later_end_is_billed_too(patch: pytest.MonkeyPatch) -> Planted:
    """An end that differs from the first settles once more."""
    real = decide.disputed

    def disputed(changes: Changes, session: Session, event: SessionEnded) -> Session:
        after = real(changes, session, event)
        if after is not session and session.state == "completed":
            again = session._replace(state="active", meter_end_wh=event.meter_wh)
            changes.add(billing.settle(again, judge(again, NOTHING), Priced(TARIFF, SPLIT), event.received_at))
        return after

    patch.setattr(decide, "disputed", disputed)
    return frozenset({"bills", "postings", "balances"})


def hold_kept_without_energy(patch: pytest.MonkeyPatch) -> Planted:
    """No fee, nothing to move."""
    real = billing.rest

    def rest(session: Session) -> list[Move]:
        return real(session) if session.fee_minor else []

    patch.setattr(billing, "rest", rest)
    return frozenset()


def late_approval_kept(patch: pytest.MonkeyPatch) -> Planted:
    """An approval after the time ran out is only recorded."""
    real = payer.decided

    def decided(world: World, changes: Changes, event: AuthorizationDecided) -> Outcome:
        before = world.authorizations.get(event.authorization_id)
        is_late = before is not None and before.state == "timed_out" and event.verdict == "authorized"
        return RECORDED if is_late else real(world, changes, event)

    patch.setattr(payer, "decided", decided)
    return frozenset()


def spent_tokens_pay_again(patch: pytest.MonkeyPatch) -> Planted:
    """Single use is not looked at."""
    real = payer.objection

    def objection(known: Any, *arguments: Any) -> str | None:
        return real(replace(known, session_id=None) if known else None, *arguments)

    patch.setattr(payer, "objection", objection)
    return frozenset({"spent"})


def every_line_rounded(patch: pytest.MonkeyPatch) -> Planted:
    """Rounded per line and summed."""

    def twice(usage: Usage, tariff: Tariff, zone: str | None = None) -> Price:
        right = price(usage, tariff, zone)
        total = sum(to_minor(line.exact_incl, right.currency) for line in right.lines if line.exact_incl is not None)
        return replace(right, total_minor=total)

    patch.setattr(billing, "price", twice)
    return frozenset()


def both_shares_rounded(patch: pytest.MonkeyPatch) -> Planted:
    """The provider's share is rounded by itself instead of being the rest."""

    def divide(total_minor: int, split: Split, vat_minor: int = 0, host_bp: int = 0) -> Shares:
        right = settlement.divide(total_minor, split, vat_minor, host_bp)
        provider = half_up(total_minor * (10_000 - split.operator_bp), 10_000) - split.operator_fixed_minor
        return replace(right, provider_minor=max(0, provider))

    patch.setattr(billing, "divide", divide)
    return frozenset({"balances"})


def no_balance_check(patch: pytest.MonkeyPatch) -> Planted:
    """Balances may fall below zero when two gateways hold at once."""
    return frozenset({"balances"})


def every_start_asks_anew(patch: pytest.MonkeyPatch) -> Planted:
    """The ask that runs, or was approved, is not found."""

    def live(world: World, station_id: str, key: bytes) -> Authorization | None:
        return None

    patch.setattr(payer, "live_of", live)
    return frozenset({"asks"})


def outbox_after_the_commit(patch: pytest.MonkeyPatch) -> Planted:
    """Jobs are written once the batch is stored, in a transaction of their own."""
    real = Play.answers

    def answers(play: Play, gateway: Gateway, part: Part) -> None:
        play.store.write_errands(part.changes.errands)
        real(play, gateway, part)

    patch.setattr(Play, "answers", answers)
    return frozenset({"outbox"})


def fee_above_the_hold(patch: pytest.MonkeyPatch) -> Planted:
    """The fee is not cut off at what was held."""
    patch.setattr(billing, "cap", lambda full, _: full)
    return frozenset()


def priced_by_arrival(patch: pytest.MonkeyPatch) -> Planted:
    """Time is taken when a report arrives."""
    patch.setattr(decide, "_time", lambda world, event, started_at: (event.received_at, None))
    return frozenset()


def verdict_forgets_who_waits(patch: pytest.MonkeyPatch) -> Planted:
    """A verdict moves its authorization and leaves the sessions that wait for it as they are."""
    patch.setattr(payer, "resolved", lambda world, changes, session, event: session)
    return frozenset()


def posting_keys_by_chance(patch: pytest.MonkeyPatch) -> Planted:
    """The hold's key is drawn anew by each attempt, and the session's row does not stand in the way."""
    real = billing.hold
    count = iter(range(10**9))

    def hold(session: Session, minor: int, at: Any) -> Any:
        return replace(real(session, minor, at), key=f"hold/{next(count)}", id=UUID(int=next(count)))

    patch.setattr(billing, "hold", hold)
    return frozenset({"unique", "versions"})


DEFECTS: tuple[tuple[Plant, str], ...] = (
    (no_dedupe_of_starts, "one_session_per_charge"),
    (dedupe_by_frame, "one_session_per_charge"),
    (no_closed_check, "a_session_is_closed_when_start_end_and_payer_are_known"),
    (answer_before_commit, "what_was_answered_is_stored"),
    (no_version_check, "what_was_answered_is_stored"),
    (refs_without_their_station, "what_was_answered_is_stored"),
    (a_later_end_is_billed_too, "a_session_is_closed_when_start_end_and_payer_are_known"),
    (hold_kept_without_energy, "the_books_are_balanced"),
    (late_approval_kept, "what_a_psp_approved_is_used_or_given_back"),
    (spent_tokens_pay_again, "a_single_use_token_paid_for_one_session"),
    (every_line_rounded, "every_fee_is_right"),
    (both_shares_rounded, "every_fee_is_right"),
    (no_balance_check, "the_books_are_balanced"),
    (every_start_asks_anew, "a_psp_is_asked_once_per_start"),
    (outbox_after_the_commit, "every_fee_of_a_psp_is_collected_once"),
    (fee_above_the_hold, "every_fee_is_right"),
    (priced_by_arrival, "any_order_leaves_the_same"),
    (verdict_forgets_who_waits, "a_session_is_closed_when_start_end_and_payer_are_known"),
    (posting_keys_by_chance, "drivers_money_is_conserved"),
)


@pytest.mark.parametrize(("plant", "law"), DEFECTS, ids=[plant.__name__ for plant, _ in DEFECTS])
def test_a_planted_defect_breaks_the_law_against_it(plant: Plant, law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lax = plant(monkeypatch)

    caught: list[str] = []
    for seed in SEEDS:
        caught += broken(day(seed, CHARGES, lax))
        if any(f": {law}: " in words for words in caught):
            return
    pytest.fail(f"not caught by {law}, only: {caught}")


def test_without_a_planted_defect_these_days_break_no_law() -> None:
    assert [words for seed in list(SEEDS)[:2] for words in broken(day(seed, CHARGES))] == []
