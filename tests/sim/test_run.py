"""The command `charge-points-sim`: what is wrong is said before anything runs."""

from __future__ import annotations

import pytest

from charge_points_sim.run import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--speed", "fast"], "could not convert"),
        (["--speed", "0"], "positive number"),
        (["--faults", "fire=1"], "there is no fault 'fire'"),
        (["--balance-share", "0.5"], "--social"),
        (["--scenario", "replay", "--balance-share", "1", "--csv", "nowhere.csv"], "no file"),
        (["--count", "0"], "at least 1"),
        (["--provision", "http://127.0.0.1:9", "--balance-share", "1"], "needs a client"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_no_system_there_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "ws://127.0.0.1:9/ocpp", "--balance-share", "1", "--speed", "max"]) == 1
    assert "cannot reach" in capsys.readouterr().err
