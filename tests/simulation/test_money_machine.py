"""Every way in which money moves, in any order, against plain arithmetic; and defects that must not go unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from csms.domain import corrections
from csms.flows import chargebacks, give_back
from tests.simulation.money_machine import Administer, MoneyMachine, play
from tests.simulation.psp_machine import PspMachine


def test_money_moves_as_arithmetic_says_whatever_happens_in_whatever_order(dsn_of: Administer, template: str) -> None:
    play(MoneyMachine, dsn_of, template, shrink=True)


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
        play(MoneyMachine, dsn_of, template, debts_are_forgotten, examples=60)


def refunds_round_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(corrections, "half_up", lambda numerator, denominator: numerator // denominator)


def what_failed_to_arrive_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(give_back, "failed", lambda refund, reason, at: give_back.paid(refund, None, at))


def a_correction_forgets_the_refunds_before_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(corrections.Books, "net", corrections.Books.charge)


def a_chargeback_takes_debts_for_money(patch: pytest.MonkeyPatch) -> None:
    async def balance(conn: Any, driver_id: str, currency: str) -> int:
        return 0

    patch.setattr(chargebacks, "_balance", balance)


PLANTS = (
    refunds_round_down,
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
        play(MoneyMachine, dsn_of, template, examples=60)
