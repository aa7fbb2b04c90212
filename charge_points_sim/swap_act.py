"""The third act of the demo: a morning at battery stations, on the system that the others have left running."""

from __future__ import annotations

from collections.abc import Sequence

from charge_points_sim.agreement import Finding, money
from charge_points_sim.lending_act import Stage
from charge_points_sim.morning import NAMES, POOR, SAVER, SPARE_MINOR, Morning, live, make_plan
from charge_points_sim.prices import CURRENCY
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.lending import TOP_UP_MINOR, add_driver, top_up
from charge_points_sim.scenarios.opening import WentWrong
from charge_points_sim.scenarios.renting import (
    DEPOSIT_MINOR,
    HOLD_MINOR,
    PER_KWH_MINOR,
    PER_PACK_MINOR,
    PROVIDER,
    StaffSwapApp,
    add_town,
)
from charge_points_sim.scenarios.riders import SwapPlan
from charge_points_sim.scenarios.swap import opened
from charge_points_sim.swapped import Rode, findings, read
from charge_points_sim.terminal import Terminal

VOUCHER_WH, VOUCHER_MINOR = 2_000, 80
VOUCHER = {
    "id": "two-kilowatt-hours", "provider": PROVIDER, "name": "2 kWh", "unit": "wh", "amount": VOUCHER_WH,
    "price": {"currency": CURRENCY, "minor": VOUCHER_MINOR}, "vat_percent": "9.5", "valid_days": 30,
}  # fmt: skip


async def spend_the_morning(stage: Stage, start: int) -> list[Finding]:
    """Tells it, on the first morning after `start`; answers what was checked. Raises `RestError`."""
    plan = make_plan(start)
    secrets = await add_town(stage.rest, plan, stage.password)
    await _prepare(stage, plan)
    _introduce(stage.terminal, plan)
    async with opened(plan, stage.ocpp, stage.password, StaffSwapApp(stage.rest, secrets)) as town:
        morning = Morning(stage, town)
        try:
            await live(morning)
        except (WentWrong, RestError) as error:
            town.tally.unexpected.append(str(error))
    if town.tally.unexpected:
        return [Finding(False, text) for text in town.tally.unexpected]
    rode = [await read(stage.rest, name, morning.rides) for name in NAMES]
    _table(stage.terminal, rode)
    openings = [one for name in town.stations for one in await stage.rest.all(f"/stations/{name}/openings")]
    return [*findings(rode, openings), *morning.seen, await _placed(morning)]


async def _prepare(stage: Stage, plan: SwapPlan) -> None:
    """Everybody has a card and money; one buys a voucher of it."""
    await stage.rest.post("/voucher-products", VOUCHER)
    for rider in plan.riders:
        await add_driver(stage.rest, rider)
        poor = HOLD_MINOR + DEPOSIT_MINOR + SPARE_MINOR
        await top_up(stage.rest, rider, poor if rider.driver == POOR else TOP_UP_MINOR)
    await stage.rest.post(f"/drivers/{SAVER}/vouchers", {"product": VOUCHER["id"]}, key=f"voucher-{SAVER}")


def _introduce(terminal: Terminal, plan: SwapPlan) -> None:
    packs = sum(map(len, plan.packs().values()))
    stations = ", ".join(f"{name} ({plan.version(number)})" for number, name in enumerate(plan.stations))
    terminal.step(f"{len(plan.stations)} stations charge {packs} packs: {stations}")
    terminal.step(
        f"{money(PER_PACK_MINOR)} a pack and {money(PER_KWH_MINOR)} a kWh taken from it; while one has it, "
        f"{money(HOLD_MINOR + DEPOSIT_MINOR)} are held"
    )
    terminal.step(
        f"{SAVER.title()} buys a voucher, {VOUCHER_WH:,} Wh for {money(VOUCHER_MINOR)}; {POOR.title()} has "
        f"{money(HOLD_MINOR + DEPOSIT_MINOR + SPARE_MINOR)}, no more"
    )


def _table(terminal: Terminal, rode: Sequence[Rode]) -> None:
    def cells(name: str, of: Sequence[Rode]) -> list[str]:
        sums = [sum(getattr(one, what) for one in of) for what in ("given_wh", "billed_wh")]
        amounts = [sum(getattr(one, what) for one in of) for what in ("fees_minor", "released_minor", "held_minor")]
        return [name, str(sum(len(one.back) for one in of)), *(f"{wh:,}" for wh in sums), *map(money, amounts)]

    head = ["rider", "packs back", "Wh given", "Wh billed", "fees", "by voucher", "still held"]
    terminal.table(head, [cells(one.driver, [one]) for one in rode], cells("together", rode))


async def _placed(morning: Morning) -> Finding:
    """Whether every pack is where the system believes it to be."""
    town = morning.town
    really: dict[str, tuple[object, ...]] = {
        slot.pack.code: ("connector", name, u, None)
        for name, station in town.stations.items()
        for u, slot in station.slots.items()
        if slot.pack is not None
    }
    inside = len(really)
    really |= {pack.code: ("driver", None, None, rider.driver) for rider in town.riders for pack in rider.packs}
    items = [item for item in await morning.stage.rest.all("/items") if item["kind"] == "battery"]
    believed = {
        item["code"]: tuple(item[name] for name in ("place", "station", "connector", "driver")) for item in items
    }
    return Finding(
        believed == really and really.keys() == {pack.code for pack in morning.packs},
        f"{inside} packs are in slots and {len(really) - inside} with riders, each where the system says that it is",
    )
