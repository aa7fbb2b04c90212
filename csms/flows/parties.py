"""Providers with their terms and accounts, and sites: what staff add and change."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import CHOSEN_ID
from csms.db import SQL, Connection
from csms.domain.settlement import Split

PSP_ACCOUNTS_MAX = 20


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A provider as staff describe it; `psp_accounts` says, by psp name, which account there receives its share."""

    id: str
    name: str
    split: Split
    psp_accounts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """
    A site as staff describe it; `time_zone` is an IANA name such as `Asia/Seoul`.

    `host_bp` is the share of each fee that reimburses its host for the electricity of portable chargers, `power_cap_w`
    what its battery stations may draw together (None: no limit). In a `region` drivers are compared with each other.
    Vouchers' conditions may name its `tags`.
    """

    id: str
    provider: str
    name: str
    time_zone: str
    host_bp: int = 0
    host_name: str | None = None
    power_cap_w: int | None = None
    region: str | None = None
    tags: Sequence[str] = ()


async def add_provider(conn: Connection, spec: ProviderSpec, now: datetime) -> None:
    """Add a provider with the first version of its terms; Conflict when the id is taken."""
    check_id(spec.id)
    split = spec.split
    added = await SQL.add_provider.value(
        conn, spec.id, spec.name, _accounts(spec.psp_accounts), split.operator_bp, split.operator_fixed_minor,
        split.operator_min_minor, split.operator_max_minor, now,
    )  # fmt: skip
    if added is None:
        raise Conflict(f"there is a provider {spec.id} already")


async def change_provider(
    conn: Connection,
    provider_id: str,
    now: datetime,
    *,
    name: str | None = None,
    psp_accounts: Mapping[str, str] | None = None,
    split: Split | None = None,
) -> None:
    """
    Change what is given. A new `split` is a new version of the terms.

    Sessions that have begun keep the version they began with.
    """
    async with conn.transaction():
        row = await SQL.lock_provider_to_change.one(conn, provider_id)
        if row is None:
            raise NotFound(f"there is no provider {provider_id}")
        version = row["terms_version"]
        if split is not None:
            version += 1
            await SQL.add_provider_terms.run(
                conn, provider_id, version, split.operator_bp, split.operator_fixed_minor, split.operator_min_minor,
                split.operator_max_minor, now,
            )  # fmt: skip
        accounts = row["psp_accounts"] if psp_accounts is None else _accounts(psp_accounts)
        await SQL.change_provider.run(conn, provider_id, row["name"] if name is None else name, accounts, version)


async def add_site(conn: Connection, spec: SiteSpec, now: datetime) -> None:
    """Add a site of a provider; Conflict when the id is taken."""
    check_id(spec.id)
    check_zone(spec.time_zone, "/time_zone")
    async with conn.transaction():
        if await SQL.show_provider.one(conn, spec.provider) is None:
            raise Refused(f"there is no provider {spec.provider}; add it first (POST /api/v1/providers)", "/provider")
        added = await SQL.add_site.value(
            conn, spec.id, spec.provider, spec.name, spec.time_zone, now, spec.host_bp, spec.host_name,
            spec.power_cap_w, spec.region, _each_once(spec.tags),
        )  # fmt: skip
        if added is None:
            raise Conflict(f"there is a site {spec.id} already")


async def change_site(conn: Connection, site_id: str, changed: Mapping[str, Any]) -> None:
    """
    Change what is given of `host_bp`, `host_name`, `power_cap_w`, `region` and `tags`.

    Sessions that have begun keep the share, and the tags, they began with.
    """
    async with conn.transaction():
        row = await SQL.lock_site_to_change.one(conn, site_id)
        if row is None:
            raise NotFound(f"there is no site {site_id}")
        site = {**row, **changed}
        values = [site[name] for name in ("host_bp", "host_name", "power_cap_w", "region")]
        await SQL.change_site.run(conn, site_id, *values, _each_once(site["tags"]))


def _each_once(tags: Collection[str]) -> list[str]:
    return sorted(set(tags))


def check_id(chosen: str) -> None:
    """Refused when an id that a client chose cannot be one."""
    if not CHOSEN_ID.fullmatch(chosen):
        raise Refused("an id is 1 to 48 letters, digits or any of . _ -", "/id")


def check_zone(name: str, field: str) -> None:
    """Refused when `name` is no IANA time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Refused(f"{name[:60]!r} is not a time zone such as Asia/Seoul", field) from None


def _accounts(psp_accounts: Mapping[str, str]) -> str:
    """The accounts as JSON text."""
    if len(psp_accounts) > PSP_ACCOUNTS_MAX:
        raise Refused(f"at most {PSP_ACCOUNTS_MAX} accounts", "/psp_accounts")
    for psp, account in psp_accounts.items():
        if not CHOSEN_ID.fullmatch(psp) or not 1 <= len(account) <= 120:
            raise Refused("the name of a psp, and its account of 1 to 120 characters", "/psp_accounts")
    return json.dumps(dict(psp_accounts))
