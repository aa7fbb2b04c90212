"""Settings: which source wins, what is refused and how, and that secrets stay covered."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from csms.config import ClockSetting, Settings, SettingsError, load, parse_clock


@pytest.fixture(autouse=True)
def empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working folder without csms.toml and an environment without CSMS_*."""
    for name in ("CSMS_CONFIG", "CSMS_HOST", "CSMS_OCPP_PORT", "CSMS_DATABASE_URL", "CSMS_CLOCK", "CSMS_SOCIAL_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path
) -> None:
    assert load().ocpp_port == 9000
    (empty_place / "csms.toml").write_text('ocpp_port = 9001\nhost = "0.0.0.0"\n')
    assert load().ocpp_port == 9001
    monkeypatch.setenv("CSMS_OCPP_PORT", "9002")
    assert load().ocpp_port == 9002
    assert load({"ocpp_port": 9003}).ocpp_port == 9003
    assert load({"ocpp_port": None}).ocpp_port == 9002
    assert load().host == "0.0.0.0"


def test_settings_do_not_change_while_the_system_runs() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().ocpp_port = 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"ocpp_port": "many"}, "ocpp_port .from CSMS_OCPP_PORT, csms.toml or a flag.: .*integer"),
        ({"ocpp_port": 70000}, "ocpp_port"),
        ({"ocpp_prot": 1}, "ocpp_prot: there is no such setting"),
        ({"clock": "yesterday"}, "write wall, or START@SPEED"),
        ({"clock": "2019-13-01@1"}, "clock .*month must be in 1..12"),
        ({"clock": "2019-01-01@0"}, "the speed is above 0"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(flags: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(flags)


def test_a_settings_file_that_is_named_must_exist_and_be_toml(
    monkeypatch: pytest.MonkeyPatch, empty_place: Path
) -> None:
    monkeypatch.setenv("CSMS_CONFIG", str(empty_place / "other.toml"))
    with pytest.raises(SettingsError, match="does not exist"):
        load()
    (empty_place / "other.toml").write_text("host = ")
    with pytest.raises(SettingsError, match="cannot be read"):
        load()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://csms:s3cr3t-canary@db:5432/csms",
        "postgresql://csms:a:s3cr3t-canary@db/csms",
        "postgresql://db/csms?user=csms&password=s3cr3t-canary",
        "host=db password=s3cr3t-canary",
    ],
)
def test_no_secret_is_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMS_DATABASE_URL", url)
    monkeypatch.setenv("CSMS_SOCIAL_SECRET", "s3cr3t-canary")
    settings = load()
    assert "canary" not in f"{settings.masked()} {settings!r} {settings}"
    assert settings.database_url is not None and settings.database_url.get_secret_value() == url


def test_the_reference_lists_every_setting_and_no_other() -> None:
    page = (Path(__file__).parent.parent / "docs/reference/settings.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z_]+)` \| `CSMS_([A-Z_]+)` \| .* \| (.+) \|$", page, re.MULTILINE)
    fields = Settings.model_fields.items()
    assert listed == [(name, name.upper(), field.description) for name, field in fields]


def test_a_simulated_clock_names_its_start_and_speed() -> None:
    start = datetime(2019, 6, 3, 7, tzinfo=UTC)
    assert parse_clock("wall") is None
    assert parse_clock("2019-06-03T07:00:00Z@3600") == ClockSetting(start, 3600.0)
    assert parse_clock("2019-06-03T09:00:00+02:00@0.5") == ClockSetting(start, 0.5)
    assert parse_clock("2019-06-03T07:00:00@max") == ClockSetting(start, None)
