"""
What must hold when a run has come to rest, whatever happened on the way: `broken(play)` lists what does not.

The laws are judged from outside: by what stations reported and were answered, by the psp's own
book, and by arithmetic of their own, not by the rules that are on trial.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from uuid import UUID

from csms.domain.authorization import Authorization
from csms.domain.session import CLOSED, Session
from csms.domain.spending import OVERSPENT, SPENT
from csms.domain.token import key as token_key
from tests.simulation.charges import PROMISED, Charge
from tests.simulation.play import CALM, Play
from tests.simulation.town import POOR_MINOR, PRICES, RICH_MINOR, RULES, SPLIT

BROKEN_SHOWN = 3
"""Breaches of one law."""


def broken(play: Play) -> list[str]:
    """Every law that does not hold, in words; nothing when all is well."""
    found: list[str] = []
    for law in LAWS:
        found += [f"seed {play.seed}: {law.__name__}: {words}" for words in islice(law(play), BROKEN_SHOWN)]
    return found


def every_batch_was_digested(play: Play) -> Iterator[str]:
    """No rule broke, and no batch lost every race: nothing had to be parked."""
    yield from play.stuck


def every_report_was_answered_the_same_each_time(play: Play) -> Iterator[str]:
    """A repeat gets the same answer; only an end may be told more once its verdict is there."""
    for charge in play.charges:
        for report in charge.reports:
            if not report.answered:
                yield f"{_name(charge)} {report.kind} was never answered"
            if report.kind == "started" and len({(a.status, a.ref) for a in report.answers}) > 1:
                yield f"{_name(charge)} {report.kind} was answered {report.answers}"


def a_reading_is_refused_only_where_its_session_is(play: Play) -> Iterator[str]:
    """What a station is told with its readings is how its session stands: accepted, until nobody pays for it."""
    for charge in play.charges:
        session = session_of(play, charge)
        refused = session is not None and session.state == "invalid"
        for report in charge.reports:
            if report.kind == "metered":
                others = {(a.status, a.ref, a.reason) for a in report.answers if a.status != "accepted"}
                if len(others) > refused:
                    yield f"{_name(charge)} {report.kind} was answered {report.answers}"


def what_was_answered_is_stored(play: Play) -> Iterator[str]:
    """Nothing acknowledged is lost, and nothing of one charge went to another."""
    for charge in play.charges:
        session = session_of(play, charge)
        start = charge.report("started")
        if start is None or session is None:
            yield f"{_name(charge)} has no session"
            continue
        if start.answered and (session.started_at != start.at or session.meter_start_wh != start.wh):
            yield f"{_name(charge)}: its start is not stored: {session.started_at} {session.meter_start_wh}"
        ends = [report for report in charge.reports if report.kind == "ended" and report.answered]
        if ends and session.meter_end_wh not in {end.wh for end in ends}:
            yield f"{_name(charge)}: its end is not stored: {session.meter_end_wh}"
        kept = {(at, row.register_wh) for (at, _), row in play.store.readings.get(session.id, {}).items()}
        for report in charge.reports:
            if report.kind == "metered" and report.answered and (report.at, report.wh) not in kept:
                yield f"{_name(charge)}: a reading is lost"


def one_session_per_charge(play: Play) -> Iterator[str]:
    """Neither a second session for a repeated start, nor one for two charges."""
    ours = {session.id for charge in play.charges if (session := session_of(play, charge))}
    for session in play.store.sessions.values():
        if session.id not in ours:
            yield f"session {session.station_id}/{session.ref} is of no charge"
    if len(ours) != len(play.charges):
        yield f"{len(ours)} sessions for {len(play.charges)} charges"


def a_session_is_closed_when_start_end_and_payer_are_known(play: Play) -> Iterator[str]:
    """Completed or under review exactly if it started, ended and was paid for; billed exactly if completed."""
    bills = Counter(bill.session.id for bill in play.store.bills)
    for session in play.store.sessions.values():
        name = f"session {session.station_id}/{session.ref} ({session.state})"
        facts = session.started_at is not None and session.ended_at is not None
        if (session.state in ("completed", "review")) != (facts and session.state != "invalid"):
            yield f"{name} has its start and end: {facts}"
        if bills[session.id] != (session.state == "completed"):
            yield f"{name} has {bills[session.id]} bills"


def every_fee_is_right(play: Play) -> Iterator[str]:
    """Priced from the charge itself: one rounding, never above what was held, the shares as agreed."""
    bills = {bill.session.id: bill for bill in play.store.bills}
    for charge in play.charges:
        session = session_of(play, charge)
        bill = bills.get(session.id) if session else None
        if session is None or bill is None:
            continue
        wh = charge.wh if charge.kind not in ("no_register", "dispute") else bill.energy_wh
        full = _fee(wh, charge.seconds)
        due = min(full, session.hold_minor) if session.hold_minor and not session.offline else full
        operator = min(due, _half_up(Fraction(due * SPLIT.operator_bp, 10_000)) + SPLIT.operator_fixed_minor)
        parts = (bill.price.total_minor, bill.not_charged_minor, bill.shares.operator_minor, bill.shares.provider_minor)
        if parts != (due, full - due, operator, due - operator):
            yield f"{_name(charge)}: {parts}, should be {(due, full - due, operator, due - operator)}"


def _fee(wh: int, seconds: int) -> int:
    if wh == 0:
        return 0
    exact = Fraction(PRICES["ENERGY"]) * wh / 1000 + Fraction(PRICES["TIME"]) * seconds / 3600
    return _half_up(exact + Fraction(PRICES["FLAT"]))


def _half_up(exact: Fraction) -> int:
    return int(exact + Fraction(1, 2))


def the_books_are_balanced(play: Play) -> Iterator[str]:
    """Sums are zero, guarded accounts are what was moved and never overdrawn, holds stand for open sessions only."""
    balances = _balances(play)
    if sum(balances.values()):
        yield f"the ledger sums to {sum(balances.values())}"
    for (address, _), minor in play.store.guarded.items():
        if minor != balances[address]:
            yield f"{address} says {minor}, its transfers {balances[address]}"
    for address in play.store.overdrawn:
        yield f"{address} was overdrawn"
    for session in play.store.sessions.values():
        minor = balances[f"session:{session.id}:held"]
        means_balance = session.means == "balance"
        should = session.hold_minor if means_balance and session.state not in ("completed", "invalid") else 0
        if minor != should:
            yield f"session {session.station_id}/{session.ref} ({session.state}) holds {minor}, should be {should}"


def drivers_money_is_conserved(play: Play) -> Iterator[str]:
    """What a driver had is what is left, what open sessions hold, and what was billed; debts aside."""
    balances = _balances(play)
    spent: Counter[str] = Counter()
    for session in play.store.sessions.values():
        if session.means == "balance" and session.driver_id and session.state not in ("completed", "invalid"):
            spent[session.driver_id] += session.hold_minor
    for bill in play.store.bills:
        if bill.session.means == "balance":
            assert bill.session.driver_id
            spent[bill.session.driver_id] += bill.price.total_minor
    for name, minor in [(f"rich{n}", RICH_MINOR) for n in range(5)] + [(f"poor{n}", POOR_MINOR) for n in range(2)]:
        left = balances[f"driver:{name}:balance"] + balances[f"driver:{name}:debt"]
        if left + spent[name] != minor:
            yield f"{name} had {minor}, has {left} and spent {spent[name]}"


def a_single_use_token_paid_for_one_session(play: Play) -> Iterator[str]:
    """Whoever comes second with it is refused."""
    paid = Counter(s.token_key for s in play.store.sessions.values() if s.state in ("completed", "review", "active"))
    for key, count in paid.items():
        token = play.store.tokens[key] if key is not None else None
        if token is not None and token.single_use and count > 1:
            yield f"a single-use token paid for {count} sessions"


def what_a_psp_approved_is_used_or_given_back(play: Play) -> Iterator[str]:
    """Each of the psp's holds pays one session, is being released, or still waits for its start; never two of these."""
    errands = play.store.outbox
    paid = [s for s in play.store.sessions.values() if s.state in ("active", *CLOSED - {"invalid"})]
    used = Counter(s.authorization_id for s in paid)
    free = {s.authorization_id for s in paid if s.fee_minor == 0}
    for id_, standing in play.psp.standing.items():
        row = play.store.authorizations.get(id_)
        voided = f"authorization/{id_}/void" in errands
        if row is None:
            yield f"the psp was asked for {id_}, which was never stored"
        elif standing == "held":
            ends = (used[id_] if id_ not in free else 0) + voided + (row.state == "authorized")
            if ends != 1 or row.state in ("asking", "timed_out"):
                yield f"authorization {id_} ({row.state}) is used {used[id_]} times, voided: {voided}"
        elif used[id_]:
            yield f"authorization {id_} was declined and is used"
    for taken, count in used.items():
        if taken is not None and count > 1:
            yield f"authorization {taken} pays for {count} sessions"


def a_psp_is_asked_once_per_start(play: Play) -> Iterator[str]:
    """
    While an approval waits for its start, or pays one, nobody is asked again for the same single-use token.

    What two gateways heard at once they may both ask; then what one of them got pays nothing.
    """
    earlier: dict[tuple[str, bytes], Authorization] = {}
    for row in sorted(play.store.authorizations.values(), key=lambda row: row.asked_at):
        key = (row.station_id, row.token_key)
        last = earlier.get(key)
        earlier[key] = row
        if last is None or not play.store.tokens[row.token_key].single_use:
            continue
        is_good = last.state in ("used", "authorized") or (last.state == "voiding" and last.reason == "unused")
        heard_at_once = last.decided_at is not None and row.asked_at < last.decided_at
        at_once = heard_at_once and None in (row.session_id, last.session_id)
        if is_good and not at_once and (row.asked_at - last.asked_at).total_seconds() < RULES.authorization_s_max:
            yield f"{row.id} asks what {last.id} ({last.state}) had asked"


def every_fee_of_a_psp_is_collected_once(play: Play) -> Iterator[str]:
    """One job per bill with a fee, none for others."""
    collects: dict[str, int] = defaultdict(int)
    for errand in play.store.outbox.values():
        if errand.kind == "psp.collect":
            collects[str(errand.payload["bill"])] += 1
    for bill in play.store.bills:
        should = int(bill.session.means == "psp" and bill.price.total_minor > 0)
        if collects[str(bill.id)] != should:
            yield f"bill of {bill.session.station_id}/{bill.session.ref} has {collects[str(bill.id)]} jobs"


def no_fee_is_above_what_was_set_aside(play: Play) -> Iterator[str]:
    """However late more was set aside: nobody pays more than that, but for what began offline."""
    for session in play.store.sessions.values():
        if session.state == "completed" and session.means == "balance" and not session.offline:
            assert session.fee_minor is not None
            if session.fee_minor > session.hold_minor:
                held = session.hold_minor
                yield f"{session.station_id}/{session.ref} costs {session.fee_minor}, {held} was set aside"


def any_order_leaves_the_same(play: Play) -> Iterator[str]:
    """What each charge left is what it leaves on a day without faults: every report once and in order."""
    again = [charge.again() for charge in play.charges]
    calm = Play(play.seed, again, CALM).run()
    here, there = _left(play), _left(calm)
    for charge, twin in zip(play.charges, again, strict=True):
        if charge.kind in PROMISED and token_key(charge.token) not in play.given_up:
            one, other = session_of(play, charge), session_of(calm, twin)
            if (one and one.hold_minor) != (other and other.hold_minor):
                continue  # more was set aside while it ran, on one of the two days: then more may be charged
            left = here[one.id] if one else None
            if left != (there[other.id] if other else None):
                yield f"{_name(charge)} left {left}, in order {there[other.id] if other else None}"


def _left(play: Play) -> dict[UUID, list[object]]:
    """
    All that each session left and that must not depend on the order, repetition or ids of its reports.

    Whether a session was seen to spend what is set aside before its end was heard does: so money counts by
    what moved in the end, not by the steps.
    """
    left: dict[UUID, list[object]] = {}
    for session in play.store.sessions.values():
        readings = play.store.readings.get(session.id, {}).values()
        left[session.id] = [
            (session.state, session.reason, session.means, session.energy_wh, session.fee_minor),
            session.hold_minor,
            (session.started_at, session.ended_at, sorted({*session.flags} - {SPENT, OVERSPENT})),
            sorted((row.at, row.digest, row.register_wh) for row in readings),
        ]
    for bill in [bill for bill in play.store.bills if bill.session.id in left]:
        facts = (bill.price, bill.energy_wh, bill.seconds, bill.not_charged_minor, bill.shares)
        left[bill.session.id].append(facts)
    moved: dict[UUID, Counter[str]] = {id_: Counter() for id_ in left}
    for posting, transfer in play.store.transfers:
        if posting.kind != "top_up" and UUID(posting.ref) in moved:
            session = play.store.sessions[play.store.ids[UUID(posting.ref)]]
            names = {str(session.id): "ID", session.driver_id or "": "DRIVER"}
            moved[session.id][_renamed(transfer.debit, names)] -= transfer.minor
            moved[session.id][_renamed(transfer.credit, names)] += transfer.minor
    for id_, balances in moved.items():
        left[id_].append(sorted((address, minor) for address, minor in balances.items() if minor))
    return left


def _renamed(address: str, names: dict[str, str]) -> str:
    return ":".join(names.get(part, part) for part in address.split(":"))


def session_of(play: Play, charge: Charge) -> Session | None:
    """What is stored of a charge."""
    ref = charge.ref or next((a.ref for r in charge.reports if r.kind == "started" for a in r.answers), None)
    return play.store.sessions.get((charge.station_id, ref or ""))


def _name(charge: Charge) -> str:
    return f"charge {charge.number} ({charge.kind}, {charge.station_id}/{charge.ref})"


def _balances(play: Play) -> Counter[str]:
    balances: Counter[str] = Counter()
    for _, transfer in play.store.transfers:
        balances[transfer.debit] -= transfer.minor
        balances[transfer.credit] += transfer.minor
    return balances


LAWS = (
    every_batch_was_digested,
    every_report_was_answered_the_same_each_time,
    a_reading_is_refused_only_where_its_session_is,
    what_was_answered_is_stored,
    one_session_per_charge,
    a_session_is_closed_when_start_end_and_payer_are_known,
    every_fee_is_right,
    the_books_are_balanced,
    drivers_money_is_conserved,
    a_single_use_token_paid_for_one_session,
    what_a_psp_approved_is_used_or_given_back,
    a_psp_is_asked_once_per_start,
    every_fee_of_a_psp_is_collected_once,
    no_fee_is_above_what_was_set_aside,
    any_order_leaves_the_same,
)
