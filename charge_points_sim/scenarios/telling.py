"""What every scenario tells of its frames when it is over."""

from __future__ import annotations

from typing import Any

from charge_points_sim.line import Counters


def counted(counters: Counters) -> dict[str, Any]:
    """The counters of a fleet, as facts of a summary."""
    return {
        "frames_sent": counters.sent,
        "repeated": counters.repeated,
        "answers": counters.answered,
        "answers_lost": counters.lost,
        "errors": counters.errors,
        "connections": counters.connections,
        "given_up": counters.given_up,
        "disagreed": counters.disagreed,
    }


def frames(facts: dict[str, Any]) -> str:
    """The same for people."""
    return (
        f"{facts['frames_sent']} frames sent ({facts['repeated']} copies), {facts['answers']} answers, "
        f"{facts['answers_lost']} of them lost, errors: {facts['errors']}, connections: {facts['connections']}"
    )
