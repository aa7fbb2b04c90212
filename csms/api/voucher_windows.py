"""What vouchers that were sold for certain hours of a site are expected to draw there."""

from __future__ import annotations

from csms.api.call import Call, Route
from csms.api.shapes import Answer
from csms.base.errors import NotFound
from csms.db import SQL
from csms.domain import voucher_windows as rules
from csms.domain.tariff_restrictions import DAYS
from csms.flows import voucher_windows


class HalfHour(Answer):
    """The mean power, in W, that is expected in this half hour of each week, local to the site."""

    day: str
    time: str
    expected_w: int


class Windows(Answer):
    """The half hours in which anything is expected; `limit_w` is the site's power, null: no limit."""

    site: str
    limit_w: int | None
    items: list[HalfHour]


async def show_windows(call: Call) -> Windows:
    """What sold vouchers that name this site, or stations of it, are expected to draw, rounded up."""
    site_id = call.path["site"]
    site = await SQL.show_site.one(call.conn, site_id)
    if site is None:
        raise NotFound(f"there is no site {site_id}")
    load = (await voucher_windows.loads(call.conn, [site_id], call.parts.clock())).get(site_id, rules.EMPTY)
    found = [_half_hour(place, -int(-watts // 1)) for place, watts in enumerate(load) if watts]
    return Windows(site=site_id, limit_w=site["power_cap_w"], items=found)


def _half_hour(place: int, watts: int) -> HalfHour:
    minutes = place % rules.DAY * 60 // rules.PER_HOUR
    return HalfHour(day=DAYS[place // rules.DAY], time=f"{minutes // 60:02}:{minutes % 60:02}", expected_w=watts)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/sites/{site}/voucher-windows", show_windows, ("stations:read",),
        "Show what sold vouchers are expected to draw at a site", Windows,
    ),
)  # fmt: skip
