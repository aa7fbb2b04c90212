"""Switchable, seeded faults of the social-payment server: what goes wrong, for which operation, how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from msgspec.structs import asdict

from charge_points_sim.social.requests import Fault
from charge_points_sim.social.state import Json


@dataclass(slots=True)
class Faults:
    """The faults switched on now. Each call draws at most one, the earliest set first."""

    random: Random
    active: list[Fault] = field(default_factory=list)
    left: list[int | None] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)
    """How often each `operation/kind` happened since the start."""

    def switch_on(self, fault: Fault) -> Json:
        """Add a fault; with neither `count` nor `rate` it happens to every call. Answers what is on."""
        self.active.append(fault)
        self.left.append(fault.count)
        return self.as_json()

    def clear(self) -> Json:
        """Everything works again. Answers what is on: nothing."""
        self.active.clear()
        self.left.clear()
        return self.as_json()

    def as_json(self) -> Json:
        """What is switched on, with the calls that are left of a counted one, and what happened."""
        active = [{**asdict(fault), "left": left} for fault, left in zip(self.active, self.left, strict=True)]
        return {"active": active, "drawn": self.drawn}

    def draw(self, operation: str) -> Fault | None:
        """The fault that happens to this call of `operation`, if one does."""
        for i, fault in enumerate(self.active):
            if fault.operation != operation or (fault.rate is not None and self.random.random() >= fault.rate):
                continue
            left = self.left[i]
            if left is not None:
                self.left[i] = left - 1
                if left == 1:
                    del self.active[i], self.left[i]
            name = f"{operation}/{fault.kind}"
            self.drawn[name] = self.drawn.get(name, 0) + 1
            return fault
        return None
