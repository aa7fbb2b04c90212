"""
The fourth act of the demo: a driver with real history is offered vouchers, buys one, charges, and sees what was saved.

On the system that the other acts have left running, ten weeks later at its end (`habit.py`). The driver's app has the
rights of staff here, as in the other acts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from charge_points_sim.agreement import Finding, money
from charge_points_sim.bought import Bought, balance_finding, findings, offer_findings, read, try_all
from charge_points_sim.gift_act import give
from charge_points_sim.habit import DAYS, FIRST_DAY, READING_EVERY_S, SATURDAY, STATION, Habit, habit, matrix
from charge_points_sim.lending_act import Stage
from charge_points_sim.offered import offers_table, picture, uses_table
from charge_points_sim.prices import CURRENCY, HOLD_MINOR, PRICES
from charge_points_sim.progress import show
from charge_points_sim.provision import provider_of
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.scenarios.drivers import Driver, Population
from charge_points_sim.scenarios.replay import Plan, Tally, replay

DRIVER = Driver("nora", "balance", "04A0B0C0D0E0F0")
VERSION = "2.1"
PROVIDER = provider_of("jpl")
PRICE = next(price for price in PRICES if price.id == "energy-and-time")
KNOWN_S_MAX, TELL_EVERY_S = 300, 10
"""
So long, on the wall, it may take until the system has looked at all charges, and so often it is said how far it is: it
looks every five seconds, at 100 a second at most, and after a whole year has many others to look at first.
"""
_SOLD = {"provider": PROVIDER, "unit": "wh", "vat_percent": "9.5", "valid_days": 14}
PRODUCTS: Sequence[dict[str, Any]] = tuple(
    {**_SOLD, "id": id, "name": name, "amount": wh, "price": {"currency": CURRENCY, "minor": minor}, **terms}
    for id, name, wh, minor, terms in (
        (
            "nights", "40 % off by night", 100_000, 390,
            {"effect": {"kind": "percent_off", "percent": 40},
             "conditions": {"start_time": "21:00", "end_time": "07:00"}},
        ),
        ("weekends", "weekends to 30 kWh", 30_000, 310, {"conditions": {"day_of_week": list(DAYS[SATURDAY:])}}),
        ("fifty", "50 kWh", 50_000, 1_000, {}),
        ("much", "150 kWh", 150_000, 1_560, {}),
    )
)  # fmt: skip
"""As in docs/explanation/offers.md, for two weeks, and for as many kWh's worth of the tariff of JPL."""


async def be_offered(stage: Stage, path: Path, start: int) -> list[Finding]:
    """Tells it, after `start`, with the charges of a CSV; answers what was checked. Raises `RestError`."""
    terminal, lived = stage.terminal, habit(path, start)
    _introduce(stage, lived)
    await _prepare(stage, lived)
    wrong = await _charge(stage, lived.before)
    known = await _known(stage, lived)
    if wrong or known is None:
        return [
            Finding(False, text)
            for text in [*wrong, *([] if known else [f"no tendency named all charges within {KNOWN_S_MAX} s"])]
        ]
    picture(terminal, known)
    app, asked = await _ask(stage)
    tried = try_all(asked, lived.before, PRICE, PRODUCTS)
    offers_table(terminal, asked["offers"], tried, PRODUCTS)
    once = await _take(stage, app, asked["offers"][0])
    before_minor = await _balance(stage)
    terminal.step(f"Nora charges for two weeks more, as she did: {len(lived.after)} times")
    if wrong := await _charge(stage, lived.after):
        return [Finding(False, text) for text in wrong]
    bought = await read(stage.rest, DRIVER.name, lived.after, PRICE)
    uses_table(terminal, bought, asked["offers"][0])
    reported = await _reported(stage, bought)
    given = await give(stage, PROVIDER, PRICE, lived.guest, partial(_charge, stage))
    seen = known["times"]["energy_wh"] == matrix(lived.before) and asked["tendency_version"] == known["version"]
    return [
        Finding(seen, f"the tendency she was judged by is what her {len(lived.before)} charges were, to the Wh"),
        *offer_findings(asked, tried),
        once,
        *findings(bought),
        balance_finding(bought, before_minor),
        *reported,
        *given,
    ]


def _introduce(stage: Stage, lived: Habit) -> None:
    later = f", lived {lived.moved_weeks} week(s) later" if lived.moved_weeks else ""
    stage.terminal.step(
        f"ten real weeks of station {STATION}, from {FIRST_DAY} on{later}: the data names no "
        "drivers, so the first car of"
    )
    stage.terminal.say("    every weekday is taken to be one, and called Nora; times and energy are as they were")


async def _prepare(stage: Stage, lived: Habit) -> None:
    """The driver has a card, and money for all of it."""
    rest, name = stage.rest, DRIVER.name
    await rest.add("/drivers", {"id": name, "name": name})
    await rest.add(f"/drivers/{name}/tokens", {"value": DRIVER.token, "type": "rfid", "status": "accepted"})
    fees = sum(PRICE.fee_minor(charge) for charge in [*lived.before, *lived.after])
    minor = fees + HOLD_MINOR + max(product["price"]["minor"] for product in PRODUCTS)
    top_up = {"amount": {"currency": CURRENCY, "minor": minor}, "psp": "card", "payment_ref": f"first-{name}"}
    await rest.post(f"/drivers/{name}/top-ups", top_up, key=f"first-{name}")


async def _charge(stage: Stage, charges: Sequence[Charge], driver: Driver = DRIVER) -> list[str]:
    """The charges at their station; answers what went wrong."""
    plan = Plan(charges, Population((driver,), ()), versions=(VERSION,), reading_every_s=READING_EVERY_S)
    tally = Tally()
    drawing = asyncio.create_task(show(tally, stage.terminal.out))
    try:
        facts = await replay(plan, stage.ocpp, stage.password, _no_token, tally)
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)
    await stage.social.set_clock(charges[-1].departure)
    return [*facts["unexpected"], *(["a call was answered by an error"] if facts["errors"] else [])]


async def _no_token(driver: Driver) -> str:
    raise AssertionError(f"{driver.name} has a card")


async def _known(stage: Stage, lived: Habit) -> dict[str, Any] | None:
    """The tendency, once it names all charges; None if it does not within `KNOWN_S_MAX`."""
    began_s = told_s = time.monotonic()
    while time.monotonic() - began_s < KNOWN_S_MAX:
        known: dict[str, Any] = await _tendency(stage)
        if known["sessions"] == len(lived.before):
            return known
        if time.monotonic() - told_s > TELL_EVERY_S:
            told_s = time.monotonic()
            stage.terminal.step(f"the system has looked at {known['sessions']} of {len(lived.before)} charges")
        await asyncio.sleep(0.2)
    return None


async def _tendency(stage: Stage) -> dict[str, Any]:
    """What is known of how the driver charges; of no session while that is nothing."""
    try:
        known: dict[str, Any] = await stage.rest.get(f"/drivers/{DRIVER.name}/tendency")
    except RestError as error:
        if error.status != 404:
            raise
        return {"sessions": 0}
    return known


async def _ask(stage: Stage) -> tuple[str, dict[str, Any]]:
    """Products are put on sale, and the app asks for its driver: its id, and the inquiry."""
    rest, terminal = stage.rest, stage.terminal
    for product in PRODUCTS:
        await rest.post("/voucher-products", product)
    names = ", ".join(f"{product['name']} for {money(product['price']['minor'])}" for product in PRODUCTS)
    terminal.step(f"staff of {PROVIDER} put on sale, each for two weeks:")
    terminal.say(f"    {names}")
    app = await rest.post(f"/drivers/{DRIVER.name}/vehicles", {"type": "app", "value": "nora's phone"})
    asked = await rest.post(f"/vehicles/{app['id']}/voucher-inquiries", {"station": STATION})
    terminal.step(f"Nora's app asks which there are for her, at {asked['asked_at'][:16]}Z:")
    return str(app["id"]), asked


async def _take(stage: Stage, app: str, offer: dict[str, Any]) -> Finding:
    """The app buys an offer, and says so twice with one key."""
    before = await _balance(stage)
    body, path = {"offer": offer["offer"]}, f"/vehicles/{app}/vouchers"
    first = await stage.rest.post(path, body, key="nora-buys")
    again = await stage.rest.post(path, body, key="nora-buys")
    stage.terminal.step(f"she takes {first['name']}, from her balance; her phone sends it twice")
    held = await stage.rest.all(f"/drivers/{DRIVER.name}/vouchers")
    paid = before - await _balance(stage)
    return Finding(
        first == again and len(held) == 1 and paid == offer["price"]["minor"],
        f"the same purchase told twice bought one voucher, and {money(paid)} left the balance once",
    )


async def _balance(stage: Stage) -> int:
    return int((await stage.rest.get(f"/drivers/{DRIVER.name}/balance"))["balances"][0]["balance"]["minor"])


async def _reported(stage: Stage, bought: Bought) -> list[Finding]:
    """Whether the reports say the same of the product that was bought."""
    voucher = bought.voucher
    wanted = [1, voucher["used"], voucher["released"]["minor"]]
    liability = [
        row for row in await stage.rest.all(f"/reports/voucher-liability?provider={PROVIDER}")
        if row["product"] == voucher["product"]
    ]  # fmt: skip
    sold = [
        row for row in await stage.rest.all(f"/reports/vouchers?provider={PROVIDER}")
        if row["product"] == voucher["product"]
    ]  # fmt: skip
    owed = voucher["deferred"]["minor"]
    saved = sum(use["saved"]["minor"] for use in voucher["uses"])
    return [
        Finding(
            [[row["sold"], row["units_used"], row["released_minor"]] for row in (*liability, *sold)] == [wanted] * 2
            and liability[0]["deferred_minor"] == owed
            and sold[0]["saved_minor"] == saved,
            f"the reports vouchers and voucher-liability say so too: {money(saved)} saved, {money(owed)} still owed",
        ),
        Finding(
            (sold[0]["offered"], sold[0]["taken"]) == (1, 1),
            "the report vouchers says that it was offered once, and that this offer was taken",
        ),
    ]
