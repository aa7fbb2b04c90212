"""What connectors can do. Rules ask this, never which kind a connector is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["outlet", "portable", "door", "slot"]
ItemKind = Literal["portable", "battery"]


@dataclass(frozen=True, slots=True)
class Can:
    """`gives_energy` to a driver; `holds` items of a kind, or none; `opens` for a grant."""

    gives_energy: bool
    holds: ItemKind | None
    opens: bool


KINDS: Mapping[Kind, Can] = {
    "outlet": Can(gives_energy=True, holds=None, opens=False),
    "portable": Can(gives_energy=True, holds=None, opens=False),
    "door": Can(gives_energy=False, holds="portable", opens=True),
    "slot": Can(gives_energy=False, holds="battery", opens=True),
}
