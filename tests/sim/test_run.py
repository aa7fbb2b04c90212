"""The command `charge-points-sim`: what is wrong is said before anything runs."""

from __future__ import annotations

import pytest

from charge_points_sim.run import borrowing, main, make_plan, parser


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--speed", "fast"], "could not convert"),
        (["--speed", "0"], "positive number"),
        (["--faults", "fire=1"], "there is no fault 'fire'"),
        (["--balance-share", "0.5"], "--social"),
        (["--scenario", "replay", "--balance-share", "1", "--csv", "nowhere.csv"], "no file"),
        (["--count", "0"], "at least 1"),
        (["--start", "soon", "--balance-share", "1"], "--start 'soon' is not a time"),
        (["--provision", "http://127.0.0.1:9", "--balance-share", "1"], "needs a client"),
        (["--scenario", "locker", "--faults", "jam=2"], "jam must be between"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_one_charge_is_what_was_asked_for() -> None:
    asked = ["--scenario", "charge", "--station", "ST-7", "--token", "04AA", "--wh", "500", "--minutes", "30"]
    plan = make_plan(parser().parse_args([*asked, "--start", "2026-01-05T09:00:00Z"]))
    (charge,) = plan.charges
    (driver,) = plan.population.paying
    assert (charge.station_id, charge.delivered_wh, charge.departure - charge.arrival) == ("ST-7", 500, 1800)
    assert (driver.means, driver.token) == ("balance", "04AA")


def test_a_session_without_energy_comes_after_all_others() -> None:
    plan = make_plan(parser().parse_args(["--scenario", "replay", "--zero", "--balance-share", "1"]))
    *others, last = plan.charges
    assert (len(others), last.delivered_wh) == (123, 0)
    assert last.arrival > max(charge.departure for charge in others)


def test_no_system_there_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "ws://127.0.0.1:9/ocpp", "--balance-share", "1", "--speed", "max"]) == 1
    assert "cannot reach" in capsys.readouterr().err


def test_borrowers_come_in_the_order_of_the_seed() -> None:
    asked = ["--scenario", "locker", "--count", "4", "--version", "2.1", "--seed", "9"]
    plan, again = (borrowing(parser().parse_args([*asked, "--start", "2026-01-05T09:00:00Z"])) for _ in range(2))
    assert plan.visits == again.visits and len(plan.visits) == 4
    assert (plan.versions, plan.follow) == (("2.1",), False)
    assert borrowing(parser().parse_args(asked)).follow


def test_a_cabinets_screen_is_shown_and_what_is_no_secret_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["screen", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"]) == 0
    assert len(capsys.readouterr().out.strip()) == 8
    assert main(["screen", "no secret"]) == 2
