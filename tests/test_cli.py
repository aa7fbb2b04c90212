"""The commands, run as a person runs them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from csms import cli


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder with a database; each command starts the server in it for its duration."""
    made = Path(tempfile.mkdtemp(prefix="csms-cli-", dir="/tmp"))
    assert "0001_tables" in json.loads(csms("migrate", "--data-dir", made, "--json"))["applied"]
    yield made
    shutil.rmtree(made, ignore_errors=True)


def csms(*arguments: str | Path, status: int = 0) -> str:
    """What the command prints; it must end with `status` and never with a traceback."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CSMS_")}
    ran = subprocess.run(
        [sys.executable, "-m", "csms.cli", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout if status == 0 else ran.stdout + ran.stderr


def test_a_fresh_folder_is_migrated_once_and_holds_every_check(folder: Path) -> None:
    assert csms("migrate", "--data-dir", folder) == "the schema is up to date\n"
    told = json.loads(csms("check", "--data-dir", folder, "--json"))
    assert told["wrong"] == {}


def test_a_client_is_added_with_the_scopes_that_were_named(folder: Path) -> None:
    told = json.loads(
        csms(
            "staff", "add-client", "--scope", "reports:read", "--scope", "drivers:read", "--data-dir", folder, "--json"
        )
    )
    assert told["scopes"] == ["drivers:read", "reports:read"]
    assert len(told["client_secret"]) >= 32
    assert "'everything' is not a scope" in csms(
        "staff", "add-client", "--scope", "everything", "--data-dir", folder, status=2
    )


def test_a_station_of_an_unknown_provider_is_refused_with_what_to_do(folder: Path) -> None:
    said = csms("station", "add", "CP-1", "--provider", "nobody", "--data-dir", folder, status=2)
    assert "there is no provider nobody; add it first" in said
    assert "is not a connector; write NUMBER" in csms(
        "station", "add", "CP-1", "--provider", "nobody", "--connector", "one", "--data-dir", folder, status=2
    )


def test_an_empty_report_has_its_columns_in_csv_and_no_rows_in_json(folder: Path) -> None:
    assert "currency" in csms("report", "bills", "--data-dir", folder).splitlines()[0].split(",")
    assert json.loads(csms("report", "bills", "--format", "json", "--data-dir", folder)) == []
    assert "bills" in csms("report", "--data-dir", folder)
    assert "there is no report fees" in csms("report", "fees", "--data-dir", folder, status=2)
    assert "is not a date" in csms("report", "bills", "--from", "soon", "--data-dir", folder, status=2)


def test_a_report_is_written_as_a_whole_file_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    asked = ("report", "revenue", "--by", "station", "--as-of", "2026-01-01", "--data-dir", folder)
    for form in ("csv", "json", "xlsx"):
        files = [tmp_path / f"{number}.{form}" for number in (1, 2)]
        for file in files:
            assert csms(*asked, "--format", form, "--out", file) == ""
        assert files[0].read_bytes() == files[1].read_bytes() != b""
    assert json.loads(csms("report", "bills", "--format", "ocpi", "--data-dir", folder)) == []
    missing = tmp_path / "missing.csv"
    assert "by is day, provider" in csms(
        "report", "revenue", "--by", "colour", "--out", missing, "--data-dir", folder, status=2
    )
    assert not missing.exists() and len(list(tmp_path.iterdir())) == 6
    assert "--out FILE" in csms("report", "bills", "--format", "xlsx", "--data-dir", folder, status=2)


@pytest.mark.parametrize("command", [["check"], ["report", "bills"]])
def test_books_that_are_not_there_are_not_said_to_agree(folder: Path, command: list[str]) -> None:
    missing = folder / "misspelt"
    assert f"there is no database in {missing}; --data-dir" in csms(*command, "--data-dir", missing, status=2)
    assert not missing.exists()


def test_a_check_that_finds_something_prints_the_rows_and_ends_with_status_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"books": cli.db.Query("books", "select 'operator:fee' as address, 7 as off_by")}
    monkeypatch.setattr(cli.db, "checks", lambda: wrong)
    assert cli.main(["check", "--data-dir", str(folder)]) == 1
    assert "address operator:fee, off_by 7" in capsys.readouterr().out
    assert cli.main(["check", "--data-dir", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong"] == {"books": [{"address": "operator:fee", "off_by": 7}]}


def test_the_settings_are_printed_with_secrets_covered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSMS_SOCIAL_SECRET", "canary")
    monkeypatch.setenv("CSMS_OCPP_PORT", "9123")
    assert cli.main(["config"]) == 0
    shown = capsys.readouterr().out
    assert "9123" in shown
    assert "canary" not in shown
    assert cli.main(["config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ocpp_port"] == 9123


def test_a_database_that_is_not_there_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSMS_DATABASE_URL", "postgresql://csms@127.0.0.1:1/csms")
    assert cli.main(["check"]) == cli.FAILED
    said = capsys.readouterr().err
    assert said.startswith("csms: the database cannot be reached (ConnectionRefusedError")
    assert said.count("\n") == 1


def test_a_schema_that_is_older_asks_for_migrate(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSMS_DATABASE_URL", empty_dsn)
    assert cli.main(["staff", "add-client", "--scope", "admin"]) == cli.FAILED
    assert "run csms migrate" in capsys.readouterr().err
    assert cli.main(["migrate"]) == 0
    assert cli.main(["staff", "add-client", "--scope", "admin"]) == 0


def test_it_tells_its_version() -> None:
    assert csms("--version").startswith("csms ")


def test_as_many_connections_are_allowed_as_the_machine_gives() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        cli.allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
