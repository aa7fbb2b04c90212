"""Vouchers that are bought, used and used up in any order move money as arithmetic says; and defects are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from csms.domain import corrections, voucher, voucher_charge, voucher_session
from tests.simulation.money_stage import Administer, play
from tests.simulation.voucher_machine import VoucherMachine

PLANTED_EXAMPLES = 200


def test_vouchers_move_money_as_arithmetic_says_whatever_happens_in_whatever_order(
    dsn_of: Administer, template: str
) -> None:
    play(VoucherMachine, dsn_of, template, shrink=True)


def units_release_each_on_their_own(patch: pytest.MonkeyPatch) -> None:
    """Rounded unit by unit, the last one does not release the rest."""
    patch.setattr(voucher, "released_minor", lambda price, total, used: used * (price // total))


def a_voucher_that_is_used_up_covers_all_the_same(patch: pytest.MonkeyPatch) -> None:
    draw = voucher_charge._Mine.saving
    patch.setattr(
        voucher_charge._Mine, "saving", lambda self, piece: draw(self, piece) or self.terms.effect.saving(piece.incl)
    )


def an_expired_voucher_is_used(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(voucher, "valid", lambda mine, provider, currency, at: sorted(mine, key=lambda v: v.id))


def what_vouchers_do_not_reach_is_forgiven(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(voucher_session, "begin", lambda world, session, driver: session)


def money_of_a_bill_that_is_taken_back_is_the_drivers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(voucher, "draw_up", lambda session_id, drawn: voucher.NOTHING)


def a_new_bill_leaves_the_vouchers_out(patch: pytest.MonkeyPatch) -> None:
    correct = corrections.correct
    patch.setattr(corrections, "correct", lambda *args: correct(*args[:-1]))


PLANTS = (
    money_of_a_bill_that_is_taken_back_is_the_drivers,
    a_new_bill_leaves_the_vouchers_out,
    units_release_each_on_their_own,
    a_voucher_that_is_used_up_covers_all_the_same,
    an_expired_voucher_is_used,
    what_vouchers_do_not_reach_is_forgiven,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_the_rules_for_vouchers_is_found(
    dsn_of: Administer, template: str, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], Any]
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        play(VoucherMachine, dsn_of, template, examples=PLANTED_EXAMPLES)
