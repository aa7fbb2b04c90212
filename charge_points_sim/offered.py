"""What the fourth act of the demo shows: how somebody charges, what is offered for it and why, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from charge_points_sim.agreement import money
from charge_points_sim.bought import Bought, Row
from charge_points_sim.habit import local
from charge_points_sim.saved import Tried
from charge_points_sim.terminal import Terminal
from charge_points_sim.times import epoch

SHADES, WIDTH = " ░▒▓█", 110


def picture(terminal: Terminal, known: Row) -> None:
    """The hours in which energy flowed, as shades."""
    times = known["times"]
    terminal.step(
        f"what is known of her: {known['sessions']} sessions in {known['weeks']} weeks, "
        f"{known['week_mean_wh'] / 1000:.1f} kWh a week, confidence {known['confidence']}"
    )
    terminal.say(" " * 14 + " ".join(hours.rjust(5) for hours in times["hours"]))
    most = max(max(row) for row in times["share_bp"])
    for day, row in zip(times["days"], times["share_bp"], strict=True):
        cells = " ".join(shade(share, most) * 5 for share in row)
        terminal.say(f"    {day:8}  {cells}  {' '.join(f'{share / 100:.0f} %'.rjust(5) for share in row)}")


def shade(part: int, most: int) -> str:
    """The darker, the nearer to `most`; what is not nothing is seen."""
    return SHADES[-(-part * (len(SHADES) - 1) // most)] if most else SHADES[0]


def offers_table(
    terminal: Terminal, offers: Sequence[Row], tried: Mapping[str, Tried], products: Sequence[Row]
) -> None:
    """What is offered and why, and what the other products would have meant."""
    terminal.table(
        ["voucher", "price", "expected", "worst", "gain", "covers", "recommended"],
        [
            [
                offer["name"],
                *(money(offer[name]["minor"]) for name in ("price", "expected", "worst")),
                f"{float(offer['gain']) * 100:.0f} %",
                f"{_kwh(offer['covered_wh'])} of {_kwh(offer['used_wh'])} kWh",
                "yes" if offer["recommended"] else "no",
            ]
            for offer in offers
        ],
    )
    for offer in offers:
        for line in wrap(f"{offer['name']}: {offer['text']}", WIDTH, subsequent_indent="  "):
            terminal.say(f"    {line}")
    offered = {offer["product"] for offer in offers}
    others = [
        f"{product['name']} ({money(tried[product['id']].expected_minor)} expected)"
        for product in products
        if product["id"] not in offered
    ]
    terminal.step(f"not offered, with what our own sums make of them: {', '.join(others)}")


def _kwh(wh: int) -> str:
    """As the text of an offer says it: rounded down."""
    return f"{wh // 100 / 10:.1f}"


def uses_table(terminal: Terminal, bought: Bought, offer: Row) -> None:
    """Charge by charge what was saved, and in all, compared with what was expected."""
    told = list(bought.told())
    terminal.table(
        ["began on", "Wh", "Wh covered", "without", "paid now", "by voucher", "saved"],
        [
            [str(local(epoch(bill["started_at"])).date()), f"{bill['energy_wh']:,}", f"{units:,}", *map(money, amounts)]
            for bill, units, amounts in told
        ],
        [
            "together",
            f"{sum(bill['energy_wh'] for bill, _, _ in told):,}",
            f"{sum(units for _, units, _ in told):,}",
            *(money(sum(amounts[place] for _, _, amounts in told)) for place in range(4)),
        ],
    )
    terminal.step(
        f"in all she paid {money(bought.saved_minor)} less than without it, its whole price taken off; "
        f"{money(offer['expected']['minor'])} were expected"
    )
