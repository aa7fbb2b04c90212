"""What a controller decides about a command or a grant, before it does anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from charge_points_sim.devices.assets import Error, Opening, fault_of, id_of, instant, opening_of, too_late
from charge_points_sim.devices.device import Payload
from charge_points_sim.devices.doors import Door, refusal
from charge_points_sim.devices.memory import Answered, Memory


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The two rules that a device must keep; a test switches one off to see whether it is missed.

    `expiry`: never acts after `exp`, nor with a clock that is off. `once`: never acts twice on a command or a grant.
    """

    expiry: bool = True
    once: bool = True


RULES = Rules()
Against = Callable[[Payload], Error | None]


def nothing(body: Payload) -> Error | None:
    """Of commands that can be carried out at any time."""
    return None


class Judged(NamedTuple):
    """The answer to a command, and what is to be done now: `opening` if a door was meant, even if it is refused."""

    answer: Answered
    opening: Opening | None
    error: Error | None
    dup: bool = False


@dataclass(slots=True)
class Judge:
    """Knows the rules of the device, its doors and its memory; `now` and `drift_s` are those of its clock."""

    rules: Rules
    doors: Mapping[int, Door]

    def command(self, body: Payload, against: Against | None, memory: Memory, now: int, drift_s: int) -> Judged:
        """
        Door.Open, or (with what is `against` it) another command.

        One that came before gets its stored answer, with `dup`.
        """
        id = id_of(body)
        known = memory.answer(id, now) if self.rules.once else None
        if known is not None:
            return Judged(Answered(known.at, known.status, {**known.data, "dup": True}), None, None, dup=True)
        error = fault_of(body)
        opening = opening_of(body) if error is None and against is None else None
        if error is None and against is None:
            error = "BadPayload" if opening is None else self.opening(opening, memory, now, drift_s)
        elif error is None and self._late(instant(body["ts"]) or 0, instant(body["exp"]) or 0, now, drift_s):
            error = "GrantExpired"
        elif error is None and against is not None:
            error = against(body)
        data: dict[str, Any] = {"v": 1, "id": id}
        if opening is not None:
            data |= {"gid": opening.gid, "u": opening.u}
        if "rid" in body and error != "BadPayload":
            data["rid"] = body["rid"]
        if error is not None:
            data["err"] = error
        return Judged(Answered(now, "Rejected" if error else "Accepted", data), opening, error)

    def opening(self, opening: Opening, memory: Memory, now: int, drift_s: int) -> Error | None:
        """The first reason against an opening."""
        if self._late(opening.at, opening.exp, now, drift_s):
            return "GrantExpired"
        if self.rules.once and opening.gid in memory.grants:
            return "GrantUsed"
        return refusal(self.doors.get(opening.u), opening.why, opening.item)

    def _late(self, at: int, exp: int, now: int, drift_s: int) -> bool:
        return self.rules.expiry and too_late(at, exp, now, drift_s)
