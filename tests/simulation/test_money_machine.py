"""Every way in which money moves, in any order, against plain arithmetic; and defects that must not go unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from csms.domain import settlement
from csms.domain.books import Books
from csms.flows import chargebacks, give_back, settle
from csms.psp.base import Answer
from csms.store.outbox import Result
from csms.worker import balance, tasks
from tests.simulation.money_machine import BalanceMachine
from tests.simulation.money_stage import Administer, play
from tests.simulation.psp_machine import PspMachine

PLANTED_EXAMPLES = 100
"""Runs in which a planted defect must show; most do within ten."""


def test_money_moves_as_arithmetic_says_whatever_happens_in_whatever_order(dsn_of: Administer, template: str) -> None:
    play(BalanceMachine, dsn_of, template, shrink=True)


def test_sessions_that_psps_pay_for_move_money_as_arithmetic_says_too(dsn_of: Administer, template: str) -> None:
    play(PspMachine, dsn_of, template, steps=60, shrink=True)


async def debts_are_forgotten(conn: Any) -> None:
    """A top-up pays no debt."""
    await rewrite(conn, "fund", "least(greatest(owed(of_driver, in_currency), 0), amount)", "0")


async def rewrite(conn: Any, function: str, good: str, bad: str) -> None:
    """Spoil a function of this test's database."""
    text = await conn.fetchval("select pg_get_functiondef($1::regproc)", function)
    assert good in text
    await conn.execute(text.replace(good, bad))


def test_a_defect_in_the_database_is_found(dsn_of: Administer, template: str) -> None:
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        play(BalanceMachine, dsn_of, template, debts_are_forgotten, examples=PLANTED_EXAMPLES)


def shares_round_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement, "half_up", lambda numerator, denominator: numerator // denominator)


def what_failed_to_arrive_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(give_back, "failed", lambda refund, reason, at: give_back.paid(refund, None, at))


def a_correction_forgets_the_refunds_before_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Books, "net", Books.charge)


def a_chargeback_takes_debts_for_money(patch: pytest.MonkeyPatch) -> None:
    async def balance(conn: Any, driver_id: str, currency: str) -> int:
        return 0

    patch.setattr(chargebacks, "_balance", balance)


def a_fee_that_is_refused_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    not_collected = settle.not_collected
    patch.setattr(settle, "not_collected", lambda *about: replace(not_collected(*about), postings=()))


def a_rest_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(give_back, "rest", lambda job, *about: Result(job, "done"))
    patch.setattr(give_back, "rest_of", lambda *about: ())


def silence_is_taken_for_a_refusal(patch: pytest.MonkeyPatch) -> None:
    async def looked_up(*about: Any) -> Answer:
        return Answer("declined", reason="no answer")

    patch.setattr(tasks, "_looked_up", looked_up)


def a_fee_is_posted_by_every_worker_that_hears_of_it(patch: pytest.MonkeyPatch) -> None:
    def collected(*about: Any) -> Result:
        result = once(*about)
        again = [replace(posting, id=uuid4(), key=f"{posting.key}/{uuid4()}") for posting in result.postings]
        return replace(result, postings=(*result.postings, *again))

    once = settle.collected
    patch.setattr(settle, "collected", collected)


def what_was_owed_is_booked_as_never_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(balance, "_paid", lambda *about: settle.collected(*about))


PLANTS = (
    shares_round_down,
    what_failed_to_arrive_is_lost,
    a_correction_forgets_the_refunds_before_it,
    a_chargeback_takes_debts_for_money,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_the_rules_is_found(
    dsn_of: Administer, template: str, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(BalanceMachine, dsn_of, template, examples=PLANTED_EXAMPLES)


PSP_PLANTS = (
    a_fee_that_is_refused_is_forgotten,
    a_rest_is_kept,
    silence_is_taken_for_a_refusal,
    a_fee_is_posted_by_every_worker_that_hears_of_it,
    what_was_owed_is_booked_as_never_refused,
)


@pytest.mark.parametrize("plant", PSP_PLANTS)
def test_a_defect_in_the_rules_for_psps_is_found(
    dsn_of: Administer, template: str, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(PspMachine, dsn_of, template, examples=PLANTED_EXAMPLES)
