"""What is never used of vouchers: policies by country, and the job that people run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.shapes import Answer, Body, Moment, Money, money
from csms.base.errors import NotFound, Refused
from csms.db import SQL, Record
from csms.flows import voucher_ends

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class NewPolicy(Body):
    """
    When what is left of a voucher counts as earned: `after_days` after its end, or that of its carry-over.

    That is 45 at least: so late a use may be told that the voucher is to pay for. Its driver is told at least
    `notice_days` before. `basis` is the law or the terms that allow it.
    """

    after_days: Annotated[int, Field(ge=0, le=36_600)]
    notice_days: Annotated[int, Field(ge=1, le=366)] = 30
    basis: Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


class Policy(Answer):
    """The policy of a country, and who set it."""

    country: str
    after_days: int
    notice_days: int
    basis: str
    changed_by: str
    changed_at: Moment


class Policies(Answer):
    """The policies of all countries that have one."""

    items: list[Policy]


class NewBreakage(Body):
    """For which country; with `dry_run` (unless it is false) nothing is changed, and what would be is counted."""

    country: Country
    dry_run: bool = True


class Breakage(Answer):
    """
    So many drivers' vouchers were told of, so many were posted, or would be; `amount` by currency is earned.

    `more`: there are others; run it again.
    """

    country: str
    dry_run: bool
    told: int
    lapsed: int
    amount: list[Money]
    more: bool


async def put_policy(call: Call) -> Policy:
    """Set when what is not used of a country's vouchers is lost; without it, it never is."""
    new: NewPolicy = call.body
    if new.after_days < voucher_ends.AFTER_DAYS_MIN:
        why = f"a use may be told {voucher_ends.AFTER_DAYS_MIN} days late, and is paid by its voucher then"
        raise Refused(f"at least {voucher_ends.AFTER_DAYS_MIN} days: {why}", "/after_days")
    country, now = call.path["country"], call.parts.clock()
    await SQL.put_breakage_policy.run(
        call.conn, country, new.after_days, new.notice_days, new.basis, call.client.id, now
    )
    row = await SQL.show_breakage_policy.one(call.conn, country)
    if row is None:
        raise NotFound("there is no such policy")
    return _policy(row)


async def list_policies(call: Call) -> Policies:
    """All policies, by country."""
    return Policies(items=[_policy(row) for row in await SQL.list_breakage_policies.many(call.conn)])


async def run_breakage(call: Call) -> Breakage:
    """Tell drivers of what they will lose, and post what they were told of long enough ago (409 without a policy)."""
    asked: NewBreakage = call.body
    done = await voucher_ends.lapse(call.conn, asked.country, call.parts.clock(), only_look=asked.dry_run)
    amounts = [money(minor, currency) for currency, minor in sorted(done.minor.items())]
    return Breakage(
        country=done.country, dry_run=asked.dry_run, told=done.told, lapsed=done.lapsed, amount=amounts,
        more=done.more,
    )  # fmt: skip


def _policy(row: Record) -> Policy:
    return Policy(**{name: row[name] for name in Policy.model_fields})


ROUTES: tuple[Route, ...] = (
    Route("GET", "/breakage-policies", list_policies, ("settlement:read",), "List when vouchers are lost", Policies),
    Route(
        "PUT", "/breakage-policies/{country}", put_policy, ("admin",), "Set when vouchers of a country are lost",
        Policy, NewPolicy,
    ),
    Route(
        "POST", "/voucher-breakages", run_breakage, ("admin",), "Earn what was never used of vouchers, by the policy",
        Breakage, NewBreakage,
    ),
)  # fmt: skip
