"""Progress for people: a bar that lives on a terminal, a plain line each few seconds elsewhere."""

from __future__ import annotations

import asyncio
import shutil
import sys
from typing import TextIO

from charge_points_sim.scenarios.replay import Tally
from charge_points_sim.times import wire

WIDTH, WIDTH_MIN = 32, 8
REDRAW_S = 0.1
LINE_S = 5.0
EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(done: int, total: int, width: int = WIDTH) -> str:
    """`████▌   `: eighths of a character, always `width` wide."""
    eighths = done * width * 8 // max(1, total)
    full, rest = divmod(min(eighths, width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if full < width else "")).ljust(width)


def fitted(tally: Tally, columns: int) -> str:
    """Bar and facts within `columns` characters: the bar gives way first, then the end of the facts."""
    facts = line(tally)
    width = min(WIDTH, columns - len(facts) - 4)
    drawn = f"  {bar(tally.done, tally.charges, width)} {facts}" if width >= WIDTH_MIN else f"  {facts}"
    return drawn[: columns - 1]


def line(tally: Tally) -> str:
    """One line of facts: simulated time, charges, energy."""
    when = wire(tally.now)[:16].replace("T", " ")
    return (
        f"{when}Z {tally.done:>5}/{tally.charges} charged {tally.running:>3} charging "
        f"{tally.energy_wh / 1000:>9.1f} kWh {tally.turned_away:>3} refused"
    )


async def show(tally: Tally, out: TextIO = sys.stderr) -> None:
    """Draws `tally` until cancelled. On a terminal in place; elsewhere a line each `LINE_S` seconds."""
    live = out.isatty()
    try:
        while True:
            await asyncio.sleep(REDRAW_S if live else LINE_S)
            out.write(f"\r\x1b[2K{fitted(tally, columns())}" if live else f"  {line(tally)}\n")
            out.flush()
    finally:
        out.write(f"\r\x1b[2K{fitted(tally, columns())}\n" if live else f"  {line(tally)}\n")
        out.flush()


def columns() -> int:
    """How wide the terminal is."""
    return shutil.get_terminal_size().columns
