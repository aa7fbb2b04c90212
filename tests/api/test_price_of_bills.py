"""A bill is what the preview says of its periods: hours, days, energy, power, steps, parking, clocks that are set."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from csms.domain.events import Reading
from tests.api.conftest import Rest
from tests.make import BOB, Told, ended, fund, metered, started

CASES = 40
ZONES = ("Europe/Amsterdam", "Asia/Seoul", "America/New_York", "Australia/Lord_Howe")
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
CLOCKS_SET = [
    datetime(2026, *day, tzinfo=UTC) for day in ((10, 24, 22), (3, 28, 22), (11, 1, 2), (10, 3, 12), (6, 1, 3))
]
"""Nights in which clocks are set, by zones above, and a day on which none is."""


def _tariff(random: Random, number: int) -> dict[str, Any]:
    """Some OCPI tariff."""
    vat = random.choice(({}, {"vat": 10}, {"vat": 25}))
    kinds = random.choice(
        (("ENERGY", "TIME"), ("TIME",), ("ENERGY", "TIME", "PARKING_TIME", "FLAT"), ("ENERGY", "FLAT"))
    )

    def element(restrictions: dict[str, Any]) -> dict[str, Any]:
        components = [
            {"type": kind, "price": random.randint(0, 9_000) / 10, "step_size": random.choice((1, 1, 60, 300)), **vat}
            for kind in random.sample(kinds, random.randint(1, len(kinds)))
        ]
        return {"price_components": components, **({"restrictions": restrictions} if restrictions else {})}

    hour = f"{random.randint(0, 23):02}:{random.choice((0, 30)):02}"
    restricted = random.sample(
        [
            {"start_time": hour, "end_time": "02:30" if hour != "02:30" else "05:00"},
            {"day_of_week": random.sample(DAYS, 3)},
            {"min_kwh": random.randint(1, 20) / 2},
            {"max_duration": random.randint(1, 9_000)},
            {"min_power": random.randint(1, 22)},
            {"end_date": "2026-10-25"},
        ],
        random.randint(0, 3),
    )
    document = {
        "id": f"t{number}",
        "currency": "KRW",
        "tax_included": random.choice(("YES", "NO")),
        "elements": [*map(element, restricted), element({})],
    }
    if random.random() < 0.3:
        document["min_price"] = {"after_taxes": random.randint(0, 2_000)}
    if random.random() < 0.3:
        document["max_price"] = {"after_taxes": random.randint(2_000, 9_000)}
    return document


def _story(random: Random, ref: str) -> list[Any]:
    """A start, readings of which some stand still, an end; times of seconds and Wh without pattern."""
    begin = random.choice(CLOCKS_SET) + timedelta(seconds=random.randint(0, 7_200))
    at, wh, readings = begin, 1_000, []
    for number in range(random.randint(0, 12)):
        at += timedelta(seconds=random.randint(1, 2_400))
        wh += random.choice((0, random.randint(1, 3_000)))
        readings.append(Reading(at, number, wh, random.choice((None, 0, random.randint(1, 11_000)))))
    at += timedelta(seconds=random.randint(1_200, 3_600))
    wh += random.randint(1, 2_000)
    meters = [metered(ref, readings=(reading,), received_at=reading.at) for reading in readings]
    last = ended(ref, at=at, received_at=at, meter_wh=wh)
    return [started(ref, at=begin, received_at=begin, token=BOB), *meters, last]


def _asked(bill: Any) -> list[dict[str, Any]]:
    """The periods of a bill as those of an OCPI CDR; where it has none, one from start to end."""
    told = bill["periods"] and json.loads(bill["periods"])
    whole = {"start": bill["started_at"].isoformat(), "energy_wh": bill["energy_wh"], "charging_s": bill["seconds"]}
    return [
        {
            "start_date_time": period["start"],
            "dimensions": [
                {"type": "ENERGY", "volume": f"{period['energy_wh'] / 1_000:.3f}"},
                {"type": "TIME", "volume": f"{period['charging_s'] / 3_600:.4f}"},
                {"type": "PARKING_TIME", "volume": f"{period.get('parking_s', 0) / 3_600:.4f}"},
                *([] if period["energy_wh"] else [{"type": "POWER", "volume": period.get("power_w", 0) / 1_000}]),
            ],
        }
        for period in told or [whole]
    ]


async def test_a_bill_is_what_the_preview_says_of_its_periods(seeded: Rest) -> None:
    random = Random(20261120)
    rest, priced = seeded, 0
    async with rest.pool.acquire() as conn:
        await fund(conn, "bob", 100_000_000)
    async with Told(rest.dsn) as told:
        for number in range(CASES):
            tariff, zone = _tariff(random, number), random.choice(ZONES)
            await rest.post("/tariffs", {**tariff, "hold": {"amount": "1000000", "currency": "KRW"}})
            async with rest.pool.acquire() as conn:
                await conn.execute("update station set tariff_id = $1", tariff["id"])
                await conn.execute("update site set time_zone = $1", zone)
            await told.tell_apart(_story(random, f"r{number}"))
            async with rest.pool.acquire() as conn:
                bill = await conn.fetchrow(
                    "select b.*, s.time_zone from bill b join session s on s.id = b.session_id where s.ref = $1",
                    f"r{number}",
                )
            session = {
                "time_zone": bill["time_zone"] or "UTC",
                "start_date_time": bill["started_at"].isoformat(),
                "end_date_time": bill["ended_at"].isoformat(),
                "charging_periods": _asked(bill),
            }
            preview = await rest.post("/tariffs/price", {"tariff": tariff, "session": session})
            assert preview["total_incl_vat"] == str(bill["total_minor"] + bill["not_charged_minor"]), (tariff, session)
            assert bill["time_zone"] == zone
            priced += bill["periods"] is not None
    assert CASES / 3 < priced < CASES
