"""How state machines are run: always the same, unless a seed is wanted."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def play(machine: type[RuleBasedStateMachine], examples: int, steps: int, seed: str, shrink: bool) -> None:
    """
    Run the machine; a planted defect is only to be found, not made small.

    Its examples are drawn anew each time where the environment has the variable `seed`.
    """
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=tuple(Phase) if shrink else (Phase.generate,),
            derandomize=os.environ.get(seed) is None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
