"""
The second act of the demo: a street lends portable chargers, on the system that the first act has left running.

Some drivers hold a card to the lock, the others have an app, which proves that they stand before the cabinet. Who
has an app paid in at the social-payment server and wants the rest back there; the others keep it in their balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from charge_points_sim.agreement import Finding, money
from charge_points_sim.devices.assets import body_of
from charge_points_sim.devices.device import Payload
from charge_points_sim.devices.locker import Locker
from charge_points_sim.lent import Lent, findings, read
from charge_points_sim.prices import CURRENCY
from charge_points_sim.rest import Rest, RestError
from charge_points_sim.scenarios.lending import HELD_MINOR, HOST, HOST_BP, StaffApp, add_driver, add_street, top_up
from charge_points_sim.scenarios.locker import opened
from charge_points_sim.scenarios.opening import WentWrong
from charge_points_sim.scenarios.street import Street
from charge_points_sim.scenarios.visits import OUTLETS, Plan, Visit, visits
from charge_points_sim.social.client import SocialClient
from charge_points_sim.terminal import Terminal

NAMES = ("ada", "ben", "cleo", "dan", "emma", "finn")
SEED = 32
STRANGER = "04DEADBEEF0000"
"""A card that nobody has."""
STALE_S = 600


@dataclass(frozen=True, slots=True)
class Stage:
    """What the act plays on: the running system with its REST and its stations' address, and the payment server."""

    terminal: Terminal
    rest: Rest
    ocpp: str
    password: str
    social: SocialClient


def make_plan(start: int) -> Plan:
    """Three cabinets, one per version, and a visit of each driver; every other one has an app."""
    drawn = visits(len(NAMES), SEED)
    named = [replace(visit, driver=name) for visit, name in zip(drawn, NAMES, strict=True)]
    return Plan(named, start, follow=True, cabinets=3, doors=4, seed=SEED)


async def lend_out(stage: Stage, start: int) -> list[Finding]:
    """Tells it, from `start`, or later where the system is later; answers what was checked. Raises `RestError`."""
    plan, terminal = make_plan(start), stage.terminal
    secrets = await add_street(stage.rest, plan, stage.password)
    payments = await _pay_in(stage, plan)
    _introduce(terminal, plan)
    app = StaffApp(stage.rest, secrets)
    async with opened(plan, stage.ocpp, stage.password, app) as street:
        heard = listen(street.lockers.values())
        refused = await _turn_away(terminal, street, app, plan)
        before = len(heard)
        for visit in plan.visits:
            await stage.social.set_clock(street.hours())
            await street.visit(visit)
            if not street.tally.unexpected:
                await _tell(stage, visit)
    if street.tally.unexpected:
        return [Finding(False, text) for text in street.tally.unexpected]
    lent = [await read(stage.rest, stage.social, visit, payments.get(visit.driver)) for visit in plan.visits]
    _table(terminal, lent)
    with_app = {visit.driver for visit in plan.visits if visit.by_app}
    openings = [one for name in street.lockers for one in await stage.rest.all(f"/stations/{name}/openings")]
    theirs = {one["id"] for one in openings if one["driver"] in with_app}
    return [
        Finding(
            refused == 2 and before == 0 and set(heard) <= theirs,
            f"neither of those two got a door: all {len(heard)} frames Door.Open were for drivers with an app",
        ),
        *findings(lent),
        await _all_back(stage.rest, street),
    ]


def listen(lockers: Iterable[Locker]) -> list[str]:
    """The grant of each frame Door.Open that a cabinet is sent from now on; the cabinet acts on it as ever."""
    heard: list[str] = []

    def attend(locker: Locker) -> None:
        hears = locker.station.hears

        def listening(action: str, payload: Payload) -> str | None:
            if payload.get("messageId") == "Door.Open":
                heard.append(str((body_of(payload) or {}).get("gid")))
            return hears(action, payload)

        locker.station.hears = listening

    for locker in lockers:
        attend(locker)
    return heard


async def _pay_in(stage: Stage, plan: Plan) -> dict[str, str]:
    """Everybody has a card and money; the payments of those who paid at the social-payment server."""
    payments: dict[str, str] = {}
    for visit in plan.visits:
        await add_driver(stage.rest, visit)
        if not visit.by_app:
            await top_up(stage.rest, visit)
            continue
        payment = payments[visit.driver] = await stage.social.pay_in(visit.driver, HELD_MINOR, CURRENCY)
        body = {"amount": {"currency": CURRENCY, "minor": HELD_MINOR}, "psp": "social", "payment_ref": payment}
        await stage.rest.post(f"/drivers/{visit.driver}/top-ups", body, key=payment)
        await stage.rest.call("PUT", f"/drivers/{visit.driver}/rest", {"rest": "refund"})
    return payments


def _introduce(terminal: Terminal, plan: Plan) -> None:
    items = plan.items()
    cabinets = ", ".join(f"{name} ({plan.version(number)})" for number, name in enumerate(items))
    with_app = sum(visit.by_app for visit in plan.visits)
    terminal.step(f"{len(items)} cabinets hold {sum(map(len, items.values()))} chargers: {cabinets}")
    terminal.step(
        f"{OUTLETS} outlets with a tag; {HOST.lower()} gives their electricity, and gets {HOST_BP / 100:g} % "
        "of what a charge costs"
    )
    terminal.step(
        f"{len(plan.visits) - with_app} drivers have a card and a balance; {with_app} have an app, "
        f"paid in {money(HELD_MINOR)} by social payment, and want the rest back"
    )


async def _turn_away(terminal: Terminal, street: Street, app: StaffApp, plan: Plan) -> int:
    """A card that nobody knows, and a code that was on the screen ten minutes ago; how many of them were refused."""
    refused = 0
    name, locker = next(iter(street.lockers.items()))
    try:
        await street.doors.by_token(locker, STRANGER, "take")
    except WentWrong as error:
        refused += str(error).endswith("NotAuthorized")
        terminal.step(f"somebody holds an unknown card to the lock of {name}: NotAuthorized")
    visit = next(visit for visit in plan.visits if visit.by_app)
    try:
        await app.rent(visit, name, street.hours() - STALE_S)
    except RestError as error:
        refused += error.status == 403
        terminal.step(f"{visit.driver.title()} sends the code that {name} showed ten minutes ago: {error.status}")
    return refused


async def _tell(stage: Stage, visit: Visit) -> None:
    """What the system knows of a visit."""
    rental = (await stage.rest.all(f"/rentals?driver={visit.driver}"))[0]
    stage.terminal.step(
        f"{visit.driver.title():4} {'by app ' if visit.by_app else 'by card'}  takes {rental['item']} from "
        f"{rental['station']}, {visit.wh / 1000:4.1f} kWh at {visit.outlet}, returns it to {rental['return_station']}"
    )


async def _all_back(rest: Rest, street: Street) -> Finding:
    """Whether every charger is behind the door that the system believes it to be behind."""
    really = {
        door.item: (name, number)
        for name, locker in street.lockers.items()
        for number, door in locker.doors.items()
        if door.item is not None
    }
    believed = {item["code"]: (item["station"], item["connector"]) for item in await rest.all("/items")}
    return Finding(
        believed == really and really.keys() == street.chargers.keys(),
        f"all {len(street.chargers)} chargers stand behind a door, each where the system says that it is",
    )


def _table(terminal: Terminal, lent: Sequence[Lent]) -> None:
    terminal.table(
        ["driver", "from → to", "held", "kWh", "rental fee", "energy fee", "host's share", "refunded"],
        [
            [
                one.visit.driver,
                f"{one.rental['station']} → {one.rental['return_station']}",
                f"{one.held_s // 3600}:{one.held_s % 3600 // 60:02}",
                f"{one.visit.wh / 1000:.3f}",
                money(one.rental_minor),
                money(one.energy_minor),
                money(one.host_minor),
                "kept" if one.payment is None else money(one.refunded_minor),
            ]
            for one in lent
        ],
        [
            "together",
            "",
            "",
            f"{sum(one.visit.wh for one in lent) / 1000:.3f}",
            *(
                money(sum(getattr(one, name) for one in lent))
                for name in ("rental_minor", "energy_minor", "host_minor", "refunded_minor")
            ),
        ],
    )
