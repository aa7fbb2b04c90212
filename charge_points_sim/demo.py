"""
`make demo`: one real day of charging, told from the first car to the settled cent.

Starts a social-payment server and the system (with its embedded database), tells the system who is
who, lets 84 stations of three OCPP versions live through a day of 2019 in half a minute, and checks
that energy and money agree with what really happened. Then a street of cabinets lends portable chargers, and
battery stations swap packs, and a driver with real history is offered vouchers, on the same system. Ends with status 0
only if everything agrees.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import uvloop

from charge_points_sim.connection import CannotConnect
from charge_points_sim.process import ProcessFailed
from charge_points_sim.rest import RestError
from charge_points_sim.run import ONE_DAY, WHOLE_FILE, zero_after
from charge_points_sim.scenarios.charge import read
from charge_points_sim.scenarios.drivers import populate
from charge_points_sim.scenarios.replay import Plan
from charge_points_sim.story import Story
from charge_points_sim.terminal import Terminal

SPEED = 4500.0
"""75 minutes pass in a second: all four acts are to end before somebody who watches loses patience."""


def make_plan(speed: float | None, whole: bool) -> Plan:
    """The real day, or all that is known of 2019 and 2020, and one car more that plugs in and takes nothing."""
    charges = read(WHOLE_FILE if whole else ONE_DAY)
    return Plan(
        charges=[*charges, zero_after(charges)],
        population=populate(400 if whole else 200, 8, balance_share=0.3, seed=2019),
        speed=speed,
        seed=2019,
        reading_every_s=3600 if whole else 900,
        turned_away=0.05 if whole else 0.12,
    )


async def demo(terminal: Terminal, folder: Path, keep: bool, plan: Plan) -> bool:
    """Tells the story with all its processes, which end with it unless they are kept."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    then = "; then chargers lent, packs swapped, vouchers offered"
    terminal.say(terminal.paint("csms", "bold") + " - a day of charging, paid, divided and settled" + then)
    async with contextlib.AsyncExitStack() as stack:
        story = Story(terminal, folder, plan, stack)
        agreed = await story.tell()
        story.say_where_to_look(keep)
        terminal.say()
        terminal.verdict(
            agreed,
            f"everything agrees, after {time.monotonic() - story.began_s:.0f} s" if agreed else "it does not agree",
        )
        if keep:
            terminal.say("\nStill running; Ctrl-C ends it.")
            await asyncio.Event().wait()
        return agreed


def main(argv: Sequence[str] | None = None) -> int:
    """0: everything agrees, 1: not."""
    p = argparse.ArgumentParser(
        prog="make demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--keep", action="store_true", help="stay up at the end")
    p.add_argument("--fast", action="store_true", help="do not wait for the wall at all")
    p.add_argument("--whole", action="store_true", help="all 22,492 sessions of the file, fast; takes some minutes")
    args = p.parse_args(argv)
    terminal = Terminal()
    folder = Path(tempfile.mkdtemp(prefix="csms-demo-"))
    folder.chmod(0o755)
    try:
        plan = make_plan(None if args.fast or args.whole else SPEED, args.whole)
        agreed = uvloop.run(demo(terminal, folder, args.keep, plan))
    except (ProcessFailed, RestError, CannotConnect, aiohttp.ClientError) as error:
        terminal.verdict(False, str(error))
        terminal.say(f"The logs are in {folder}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(folder, ignore_errors=True)
        return 0 if args.keep else 130
    if agreed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        terminal.say(f"The logs are in {folder}")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
