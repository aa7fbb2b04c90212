"""Progress for people: a bar that lives on a terminal, a plain line each few seconds elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TextIO

from charge_points_sim.scenarios.replay import Tally
from charge_points_sim.times import wire

WIDTH = 32
REDRAW_S = 0.1
LINE_S = 5.0
EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(done: int, total: int, width: int = WIDTH) -> str:
    """`████▌   `: eighths of a character, always `width` wide."""
    eighths = done * width * 8 // max(1, total)
    full, rest = divmod(min(eighths, width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if full < width else "")).ljust(width)


def line(tally: Tally) -> str:
    """One line of facts: simulated time, charges, energy."""
    when = wire(tally.now)[:16].replace("T", " ")
    return (
        f"{when}Z  {tally.done:>5}/{tally.charges} charged  {tally.running:>3} charging  "
        f"{tally.energy_wh / 1000:>9.1f} kWh  {tally.turned_away:>3} turned away"
    )


async def show(tally: Tally, out: TextIO | None = None, drawn: Callable[[], bool] | None = None) -> None:
    """Draws `tally` until cancelled. On a terminal in place; elsewhere a line each `LINE_S` seconds."""
    out = out or sys.stderr
    live = out.isatty() if drawn is None else drawn()
    try:
        while True:
            await asyncio.sleep(REDRAW_S if live else LINE_S)
            out.write(f"\r\x1b[2K  {bar(tally.done, tally.charges)} {line(tally)}" if live else f"  {line(tally)}\n")
            out.flush()
    finally:
        end = f"\r\x1b[2K  {bar(tally.done, tally.charges)} {line(tally)}\n" if live else f"  {line(tally)}\n"
        out.write(end)
        out.flush()
