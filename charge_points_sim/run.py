"""`charge-points-sim`: runs simulated stations against a system, or the social-payment server they pay with."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from charge_points_sim import faults, screen
from charge_points_sim.connection import CannotConnect
from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults
from charge_points_sim.progress import show
from charge_points_sim.provision import provision
from charge_points_sim.rest import Rest, RestError
from charge_points_sim.scenarios import (
    charge,
    day,
    hands,
    lending,
    locker,
    renting,
    riders,
    selling,
    stand_in,
    swap,
    vehicles,
    visits,
    voucher,
)
from charge_points_sim.scenarios.charge import BadFile, Charge
from charge_points_sim.scenarios.drivers import Driver, Population, populate
from charge_points_sim.scenarios.replay import Plan, Tally, replay
from charge_points_sim.scenarios.telling import frames
from charge_points_sim.times import epoch
from charge_points_sim.wallet import Wallet

DATA = Path(__file__).parent / "data"
ONE_DAY = DATA / "acn_2019-07-24.csv"
WHOLE_FILE = DATA / "acn_sessions_2019_2020.csv.gz"
CLIENT = "CHARGE_POINTS_SIM_CLIENT"
"""Environment variable with `id:secret` of the REST client that provisions."""
VISITED = ("locker", "swap")
"""Scenarios in which people come to cabinets."""
EXAMPLES = """
examples:
  charge-points-sim --url ws://127.0.0.1:9000/ocpp --count 3 --balance-share 1 --password secret --speed 60
  charge-points-sim --scenario replay --csv whole --speed max --social http://127.0.0.1:9100 --json
  charge-points-sim --scenario locker --count 5 --version 1.6 --speed max --password secret
  charge-points-sim --scenario locker --count 0 --password secret     (rent by REST, watch what happens)
  charge-points-sim --scenario swap --count 6 --version 2.1 --speed max --password secret     (0: you swap by REST)
  charge-points-sim --scenario voucher --count 3 --speed max --password secret --provision http://127.0.0.1:8080
  charge-points-sim social --port 9100
  charge-points-sim screen SECRET-OF-A-CABINET
"""


class Misused(Exception):
    """The command line does not fit together; says what to change."""


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    p = argparse.ArgumentParser(
        prog="charge-points-sim",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--url", default="ws://127.0.0.1:9000/ocpp", help="where stations connect (%(default)s)")
    p.add_argument("--version", choices=[*DEVICES, "all"], default="all", help="all: in turn (%(default)s)")
    p.add_argument(
        "--count",
        type=int,
        default=3,
        help="stations of `day`, vehicles of `voucher`, "
        "drivers of `locker`, riders of `swap` (0: only you) (%(default)s)",
    )
    p.add_argument(
        "--scenario",
        choices=["charge", "day", "replay", *VISITED, "voucher"],
        default="day",
        help="charge: one card at one station; day: an ordinary day; replay: real charges of a CSV; "
        "locker: portable chargers lent by cabinets; swap: packs exchanged at battery stations; "
        "voucher: vehicles that ask for vouchers, buy and use them (%(default)s)",
    )
    p.add_argument("--station", default="SIM-0001", help="where `charge` happens (%(default)s)")
    p.add_argument("--token", default="04A1B2C3D4E5F6", help="the card of `charge` (%(default)s)")
    p.add_argument("--wh", type=int, default=11_000, help="energy of `charge` (%(default)s)")
    p.add_argument("--minutes", type=int, default=120, help="how long `charge` takes (%(default)s)")
    p.add_argument("--outlet", default="OUTLET-1", help="where what you rent is plugged in (%(default)s)")
    p.add_argument("--csv", default="day", help="what `replay` replays: a file, or `day`, or `whole` (%(default)s)")
    p.add_argument(
        "--start", help="when it begins, as 2026-01-31T06:00:00Z (now; `locker`, `swap`, `voucher`: the system's)"
    )
    p.add_argument("--seed", type=int, default=1, help="the same seed, the same run (%(default)s)")
    p.add_argument("--speed", default="1", help="simulated seconds in a second, or `max` (%(default)s)")
    p.add_argument("--faults", default="", help="as repeat=3,lose=0.05,reorder=0.3,cut=0.001,jam=0.1 (none)")
    p.add_argument(
        "--password",
        default=os.environ.get("CHARGE_POINTS_SIM_PASSWORD"),
        help="of all stations; better in the environment: CHARGE_POINTS_SIM_PASSWORD (no authentication)",
    )
    p.add_argument("--social", help="address of the social-payment server, for drivers who pay there")
    p.add_argument("--provision", metavar="URL", help=f"add stations, prices and drivers by REST first ({CLIENT})")
    p.add_argument("--drivers", type=int, default=400, help="paying drivers (%(default)s)")
    p.add_argument("--balance-share", type=float, default=0.0, help="share of them with a balance (%(default)s)")
    p.add_argument("--turned-away", type=float, default=0.0, help="share of charges that a refused driver precedes")
    p.add_argument("--reading-minutes", type=int, default=60, help="simulated minutes between readings (%(default)s)")
    p.add_argument("--zero", action="store_true", help="add one session without energy at the end of `replay`")
    p.add_argument("--json", action="store_true", help="print the summary as one JSON line")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; 0: all charges went as they should, 1: not, 2: misused."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["social"]:
        from charge_points_sim.social.run import main as social

        return social(argv[1:])
    if argv[:1] == ["screen"]:
        return screen.main(argv[1:])
    args = parser().parse_args(argv)
    try:
        match args.scenario:
            case "locker":
                facts, tell = uvloop.run(borrow(borrowing(args), args)), locker.describe
            case "swap":
                facts, tell = uvloop.run(exchange(riding(args), args)), swap.describe
            case "voucher":
                facts, tell = uvloop.run(buy(buying(args), args)), voucher.describe
            case _:
                facts, tell = uvloop.run(run(make_plan(args), args)), describe
    except (Misused, BadFile) as error:
        print(f"charge-points-sim: {error}", file=sys.stderr)
        return 2
    except (CannotConnect, RestError, aiohttp.ClientError) as error:
        print(f"charge-points-sim: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(facts) if args.json else tell(facts))
    return 1 if facts["unexpected"] or facts["given_up"] or facts["disagreed"] else 0


def common(args: argparse.Namespace) -> tuple[float | None, Faults, int]:
    """Speed, faults and start of any scenario. Raises `Misused`."""
    try:
        speed = None if args.speed == "max" else float(args.speed)
        drawn = faults.parse(args.faults, args.seed)
    except ValueError as error:
        raise Misused(str(error)) from None
    try:
        start = int(time.time()) if args.start is None else epoch(args.start)
    except ValueError:
        raise Misused(f"--start {args.start!r} is not a time such as 2026-01-31T06:00:00Z") from None
    if speed is not None and speed <= 0:
        raise Misused("--speed wants a positive number, or max")
    for name, low in (("count", 1), ("drivers", 1), ("reading_minutes", 1), ("minutes", 1), ("wh", 0)):
        if name == "count" and args.scenario in VISITED:
            low = 0
        if getattr(args, name) < low:
            raise Misused(f"--{name.replace('_', '-')} must be at least {low}")
    if args.provision is not None and (CLIENT not in os.environ or args.password is None):
        raise Misused(f"--provision needs a client ({CLIENT}=id:secret in the environment) and --password")
    return speed, drawn, start


def versions(args: argparse.Namespace) -> tuple[str, ...]:
    """The OCPP versions in turn."""
    return tuple(DEVICES) if args.version == "all" else (args.version,)


def borrowing(args: argparse.Namespace) -> visits.Plan:
    """What is asked for of `locker`. Raises `Misused`."""
    speed, drawn, start = common(args)
    return visits.Plan(
        visits.visits(args.count, args.seed),
        start,
        follow=args.start is None,
        versions=versions(args),
        speed=speed,
        seed=args.seed,
        faults=drawn,
    )


def riding(args: argparse.Namespace) -> riders.SwapPlan:
    """What is asked for of `swap`. Raises `Misused`."""
    speed, drawn, start = common(args)
    return riders.SwapPlan(
        *riders.riders(args.count, args.seed),
        start,
        follow=args.start is None,
        versions=versions(args),
        speed=speed,
        seed=args.seed,
        faults=drawn,
    )


def buying(args: argparse.Namespace) -> vehicles.VoucherPlan:
    """What is asked for of `voucher`. Raises `Misused`."""
    speed, drawn, start = common(args)
    return vehicles.VoucherPlan(
        vehicles.vehicles(args.count, args.seed),
        start,
        follow=args.start is None,
        versions=versions(args),
        speed=speed,
        seed=args.seed,
        faults=drawn,
    )


def make_plan(args: argparse.Namespace) -> Plan:
    """What is asked for of the other scenarios. Raises `Misused`, `BadFile`."""
    speed, drawn, start = common(args)
    alone = args.scenario == "charge"
    if args.social is None and not alone and (args.balance_share < 1 or args.turned_away > 0):
        raise Misused("drivers who pay by social payment need --social URL (or --balance-share 1 for none of them)")
    population = populate(args.drivers, 20, args.balance_share, args.seed)
    if alone:
        population = Population((Driver("driver", "balance", args.token),), ())
    return Plan(
        charges=what_happens(args, start),
        population=population,
        versions=versions(args),
        speed=speed,
        seed=args.seed,
        reading_every_s=60 * args.reading_minutes,
        turned_away=args.turned_away,
        faults=drawn,
    )


def what_happens(args: argparse.Namespace, start: int) -> list[Charge]:
    """The charges of the scenario. Raises `Misused`, `BadFile`."""
    if args.scenario == "day":
        return day.charges(args.count, start, args.seed)
    if args.scenario == "charge":
        return [Charge("sim", args.station, "one", start, start + 60 * args.minutes, args.wh)]
    charges = charge.read(find(args.csv))
    return [*charges, zero_after(charges)] if args.zero else charges


def find(name: str) -> Path:
    """The file that `--csv` names."""
    path = {"day": ONE_DAY, "whole": WHOLE_FILE}.get(name, Path(name))
    if not path.is_file():
        raise Misused(f"there is no file {path}")
    return path


def zero_after(charges: Sequence[Charge]) -> Charge:
    """A driver who plugs in after all others and takes no energy."""
    last = max(charges, key=lambda c: c.departure)
    at = last.departure + 3600
    return last._replace(session_id="added-without-energy", arrival=at, departure=at + 1800, delivered_wh=0)


async def borrow(plan: visits.Plan, args: argparse.Namespace) -> dict[str, Any]:
    """Runs `locker`; with `--provision` every other driver has an app, without drivers it waits for yours."""
    if not plan.visits:
        await hands.wait(plan, args.url, args.password, args.outlet, partial(print, flush=True))
    if args.provision is None:
        return await locker.lend(plan, args.url, args.password)
    async with aiohttp.ClientSession() as http:
        rest = client(http, args)
        secrets = await lending.provision(rest, plan, args.password)
        return await locker.lend(plan, args.url, args.password, lending.StaffApp(rest, secrets))


async def exchange(plan: riders.SwapPlan, args: argparse.Namespace) -> dict[str, Any]:
    """Runs `swap`; with `--provision` every other rider has an app, without riders it waits for yours."""
    if not plan.riders:
        await stand_in.wait(plan, args.url, args.password, partial(print, flush=True))
    if args.provision is None:
        return await swap.ride(plan, args.url, args.password)
    async with aiohttp.ClientSession() as http:
        rest = client(http, args)
        secrets = await renting.provision(rest, plan, args.password)
        return await swap.ride(plan, args.url, args.password, renting.StaffSwapApp(rest, secrets))


async def buy(plan: vehicles.VoucherPlan, args: argparse.Namespace) -> dict[str, Any]:
    """Runs `voucher`; with `--provision` vehicles wait until the system knows how they charge."""
    if args.provision is None:
        return await voucher.trade(plan, args.url, args.password)
    async with aiohttp.ClientSession() as http:
        rest = client(http, args)
        await selling.provision(rest, plan, args.password)
        return await voucher.trade(plan, args.url, args.password, selling.StaffDesk(rest))


def client(http: aiohttp.ClientSession, args: argparse.Namespace) -> Rest:
    """The REST client that provisions."""
    client_id, _, secret = os.environ[CLIENT].partition(":")
    return Rest(http, args.provision, client_id, secret)


async def run(plan: Plan, args: argparse.Namespace) -> dict[str, Any]:
    """Runs the plan, with progress on standard error."""
    tally = Tally()
    async with aiohttp.ClientSession() as http:
        if args.provision is not None:
            await provision(client(http, args), plan, args.password)
        wallet = Wallet(http, args.social or "")
        drawing = asyncio.create_task(show(tally, sys.stderr))
        try:
            return await replay(plan, args.url, args.password, wallet.token, tally)
        finally:
            drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await drawing


def describe(facts: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"sessions: {facts['sessions']}, {facts['energy_wh'] / 1000:.3f} kWh, {facts['turned_away']} turned away, "
        f"in {facts['seconds']} s ({facts['sessions_per_s']} sessions/s, {facts['frames_per_s']} frames/s)",
        frames(facts),
    ]
    if facts["stopped"]:
        lines.append(f"stopped by the system: {facts['stopped']}")
    return "\n".join(lines + [f"unexpected: {text}" for text in facts["unexpected"]])


if __name__ == "__main__":
    sys.exit(main())
