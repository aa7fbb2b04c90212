"""The table that people read: medians of the rounds, ratios, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from tests.benchmarks import cells
from tests.benchmarks.load import Result

LOAD_FULL = 0.85
"""A process of the load that is this busy may have been the limit itself."""

OTHERS_BUSY_MAX = 0.15
"""More cores than this taken by other programs make rates and times unreliable; CPU per answer suffers less."""


def cell_lines(cell: cells.Cell, found: Mapping[str, Sequence[Result]]) -> str:
    """One block of the table: the figures of one cell for each partner, and how many times better ours is."""
    lines = [f"\n{cell.target}  {cell.title}"]
    for figure in cells.FIGURES[cell.target, cell.scenario]:
        values = {name: median(figure.of(result) for result in results) for name, results in found.items()}
        columns = "".join(f"  {name} {_number(value):>9}" for name, value in values.items())
        lines.append(f"  {figure.name:<18}{figure.unit:>3}{columns}{_verdict(cell, figure, values)}")
    for name, results in found.items():
        busy = median(result.load_busy for result in results)
        full = "  (it was the limit)" if busy > LOAD_FULL * results[0].plan.processes else ""
        own = median(result.load_us for result in results)
        others = median(result.others_busy for result in results)
        noisy = f"  (others took {others:.2f} cores: rates say little)" if others > OTHERS_BUSY_MAX else ""
        lines.append(f"  load beside {name:<9}{own:.1f} us, {busy:.2f} cores{full}{noisy}")
    return "\n".join(lines)


def _verdict(cell: cells.Cell, figure: cells.Figure, values: Mapping[str, float]) -> str:
    if "ours" not in values:
        return ""
    ours, text = values["ours"], ""
    if "stock" in values:
        ratio = _times(ours, values["stock"]) if figure.larger else _times(values["stock"], ours)
        wanted = cells.WANTED.get((cell.target, cell.version, cell.stations, figure.name))
        text += f"  = {ratio:.1f} x stock{_wanted(ratio, wanted)}"
    if "raw" in values and figure.larger:
        share = _times(ours, values["raw"])
        text += f"  = {share:.2f} of raw{_wanted(share, cells.OF_RAW_WANTED if cell.target == 'T2' else None)}"
    if "raw" in values and cell.target == "T4":
        behind_ms, wanted_ms = ours - values["raw"], cells.BEHIND_RAW_MS_WANTED.get(figure.name)
        text += f"  {behind_ms:+.2f} ms"
        if wanted_ms is not None:
            text += f" ({'reached' if behind_ms <= wanted_ms else 'wanted'} {wanted_ms:+g})"
    return text


def idle_lines(cell: cells.Cell, kib: Mapping[str, float]) -> str:
    """T6: memory of an idle connection."""
    columns = "".join(f"  {name} {value:.1f}" for name, value in kib.items())
    return (
        f"\n{cell.target}  {cell.title}\n  memory each       KiB{columns}  (ours wanted <= {cells.IDLE_KIB_WANTED:.0f})"
    )


def ready_lines(ready_s: Mapping[str, float]) -> str:
    """T11: how soon `csms serve` takes stations, and the demo charges."""
    text = "\nT11  csms serve ready, first charge of the demo\n "
    for state, seconds in ready_s.items():
        text += f" {state} {seconds:.2f} s (wanted < {cells.READY_S_WANTED[state]:g})"
    return text


def _times(better: float, worse: float) -> float:
    return better / worse if worse else float("nan")


def _wanted(ratio: float, wanted: float | None) -> str:
    return "" if wanted is None else f" ({'reached' if ratio >= wanted else 'wanted'} {wanted:g})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"
