"""Sessions and bills as clients get them."""

from __future__ import annotations

import json
from typing import Any

from csms.api.shapes import Answer, Json, Moment, Money, money
from csms.db import Record


class Session(Answer):
    """A session: who, where, when, how much energy, and its fee once it is billed. The token is masked."""

    id: str
    station: str
    connector: int | None
    ref: str
    state: str
    provider: str
    site: str | None
    driver: str | None
    token: str | None
    tariff: str | None
    tariff_version: int | None
    terms_version: int
    means: str | None
    psp: str | None
    hold: Money | None
    offline: bool
    started_at: Moment | None
    ended_at: Moment | None
    meter_start_wh: int | None
    meter_end_wh: int | None
    energy_wh: int | None
    fee: Money | None
    end_reason: str | None
    reason: str | None
    flags: list[str]
    opened_at: Moment
    closed_at: Moment | None
    rest: str | None
    """What happens to money that was set aside and not spent: `keep` or `refund`."""
    revision: int
    """How many bills it has, credits included."""


_SESSION = (
    *("connector", "ref", "state", "tariff_version", "terms_version", "means", "psp", "offline"),
    *("started_at", "ended_at", "meter_start_wh", "meter_end_wh", "energy_wh", "end_reason", "reason", "flags"),
    *("opened_at", "closed_at", "rest", "revision"),
)


def session(row: Record) -> Session:
    """A row of `show_session`."""
    currency, fee = row["currency"], row["fee_minor"]
    return Session(
        id=str(row["id"]), station=row["station_id"], provider=row["provider_id"], site=row["site_id"],
        driver=row["driver_id"], token=row["token_masked"], tariff=row["tariff_id"],
        hold=None if currency is None else money(row["hold_minor"], currency),
        fee=None if currency is None or fee is None else money(fee, currency),
        **{name: row[name] for name in _SESSION},
    )  # fmt: skip


class Bill(Answer):
    """
    The priced, unchangeable record of one session: its lines, its total, and who gets what of it.

    A `credit` takes back or lessens the charge that `corrects` names; its amounts are negative.
    """

    id: str
    session: str
    revision: int
    kind: str
    corrects: str | None
    reason: str | None
    made_by: str | None
    station: str
    connector: int | None
    provider: str
    site: str | None
    driver: str | None
    token: str | None
    tariff: str
    tariff_version: int
    terms_version: int
    means: str
    psp: str | None
    started_at: Moment
    ended_at: Moment
    energy_wh: int
    seconds: int
    total: Money
    vat: Money
    not_charged: Money
    operator_share: Money
    operator_vat: Money
    provider_share: Money
    host_share: Money
    """Of the host of its site, whose electricity a portable charger gave."""
    shares_by: str
    lines: Json
    flags: list[str]
    issued_at: Moment


_BILL = (
    *("kind", "reason", "made_by", "shares_by"),
    *("revision", "connector", "tariff_version", "terms_version", "means", "psp", "started_at", "ended_at"),
    *("energy_wh", "seconds", "flags", "issued_at"),
)
_BILL_MONEY = ("total", "vat", "not_charged", "operator_vat")


def bill(row: Record) -> Bill:
    """A row of `show_bill`."""
    currency = row["currency"]
    amounts: dict[str, Any] = {name: money(row[f"{name}_minor"], currency) for name in _BILL_MONEY}
    return Bill(
        id=str(row["id"]), session=str(row["session_id"]), station=row["station_id"], provider=row["provider_id"],
        site=row["site_id"], driver=row["driver_id"], token=row["token_masked"], tariff=row["tariff_id"],
        operator_share=money(row["operator_minor"], currency),
        corrects=None if row["corrects"] is None else str(row["corrects"]),
        provider_share=money(row["provider_minor"], currency), host_share=money(row["host_minor"], currency),
        lines=json.loads(row["lines_text"]),
        **{name: row[name] for name in _BILL}, **amounts,
    )  # fmt: skip
