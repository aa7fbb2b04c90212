"""Whether the bills, the CSV, and the social-payment server's journal tell one story, to the Wh and the cent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charge_points_sim.prices import of_site
from charge_points_sim.provision import provider_of
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.times import epoch

Row = Mapping[str, Any]
OPERATOR_ACCOUNT = "operator"


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement that was checked."""

    holds: bool
    text: str


def money(minor: int) -> str:
    """`1,234.50`."""
    return f"{minor / 100:,.2f}"


def flat(bill: Row) -> dict[str, Any]:
    """A bill of REST with its money as minor units: `total_minor`, `operator_minor`, `provider_minor`."""
    minor = {"total": "total", "operator_share": "operator", "provider_share": "provider"}
    plain = {name: bill[name] for name in ("station", "provider", "means", "started_at", "energy_wh")}
    return plain | {f"{name}_minor": bill[field]["minor"] for field, name in minor.items()}


def findings(charges: Sequence[Charge], bills: Sequence[Row], totals: Row) -> list[Finding]:
    """
    Compares bills (`flat`) with the CSV, reckoned anew, and with the journal's totals.

    A bill belongs to the charge of its station that began at its time.
    """
    sites = sorted({charge.site for charge in charges})
    wanted = {(charge.station_id, charge.arrival): charge for charge in charges}
    billed = Counter((bill["station"], epoch(bill["started_at"])) for bill in bills)
    once = billed.keys() == wanted.keys() and set(billed.values()) <= {1}
    pairs = [(wanted[key], bill) for bill in bills if (key := (bill["station"], epoch(bill["started_at"]))) in wanted]
    energy_wh = sum(bill["energy_wh"] for bill in bills)
    energy = once and all(bill["energy_wh"] == charge.delivered_wh for charge, bill in pairs)
    fees = once and all(bill["total_minor"] == of_site(sites, charge.site).fee_minor(charge) for charge, bill in pairs)
    shares = all(
        bill["operator_minor"] == of_site(sites, charge.site).operator_minor(bill["total_minor"])
        and bill["operator_minor"] + bill["provider_minor"] == bill["total_minor"]
        for charge, bill in pairs
    )
    social = [bill for bill in bills if bill["means"] == "psp"]
    due: Counter[str] = Counter()
    for bill in social:
        due[OPERATOR_ACCOUNT] += bill["operator_minor"]
        due[bill["provider"]] += bill["provider_minor"]
    remitted = {seller: amount for seller, amount in totals["remitted"].items() if amount}
    paid = sum(bill["total_minor"] for bill in social)
    return [
        Finding(once, f"every charge of the CSV is billed exactly once: {len(bills)} bills for {len(charges)} charges"),
        Finding(energy, f"every bill has the energy of its charge; together {energy_wh:,} Wh"),
        Finding(fees, "every fee is what the tariff makes of the CSV's energy and time, reckoned anew"),
        Finding(shares, "every fee is divided without a rest, the operator's share by its terms"),
        Finding(
            totals["captured"] == totals["settled"] == paid,
            f"the social-payment server took {money(totals['captured'])}, the bills paid there say {money(paid)}",
        ),
        Finding(remitted == {k: v for k, v in due.items() if v}, "it remitted to each payee what the bills say"),
        Finding(totals["held"] == 0, f"no amount is still held there (holds open: {money(totals['held'])})"),
    ]


def per_provider(charges: Sequence[Charge], bills: Sequence[Row], totals: Row) -> list[list[int | str]]:
    """Provider, sessions, Wh, fees, operator's share, provider's share and what of it was remitted, one row each."""
    rows: dict[str, list[int]] = {provider_of(charge.site): [0] * 5 for charge in charges}
    for bill in bills:
        row = rows.setdefault(bill["provider"], [0] * 5)
        for place, amount in enumerate(
            (1, bill["energy_wh"], bill["total_minor"], bill["operator_minor"], bill["provider_minor"])
        ):
            row[place] += amount
    return [[name, *rows[name], totals["remitted"].get(name, 0)] for name in sorted(rows)]
