"""`csms serve` as a process: what it says, how it ends, what it survives."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from csms.embedded import process
from csms.flows.admin import seal_password
from tests import make

PASSWORD = "a password of 20 b."
BOOT = '[2,"1","BootNotification",{"chargePointVendor":"Acme","chargePointModel":"One"}]'


@dataclass
class System:
    """A running `csms serve`."""

    running: subprocess.Popen[str]
    ocpp: str
    http: str

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.http}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def post(self, path: str, body: bytes, **headers: str) -> Any:
        request = urllib.request.Request(
            f"{self.http}{path}", body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def station(self, name: str = "CP-1", password: str = PASSWORD, version: str = "ocpp1.6") -> ClientConnection:
        basic = base64.b64encode(f"{name}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        return connect(f"{self.ocpp}/{name}", subprotocols=[version], additional_headers=headers)  # type: ignore[list-item]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder in which a provider and the station CP-1 are known."""
    made = Path(tempfile.mkdtemp(prefix="csms-serve-", dir="/tmp"))
    with serving(made) as system:
        client = json.loads(csms("staff", "add-client", "--scope", "admin", "--data-dir", made, "--json"))
        form = urllib.parse.urlencode({**client, "scopes": "", "grant_type": "client_credentials"}).encode()
        token = system.post("/oauth/token", form, Content_Type="application/x-www-form-urlencoded")["access_token"]
        provider = {"id": "acme", "name": "Acme", "terms": {"operator_bp": 1000}}
        bearer = {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
        assert system.post("/api/v1/providers", json.dumps(provider).encode(), **bearer)["id"] == "acme"
        csms("station", "add", "CP-1", "--provider", "acme", "--password", PASSWORD, "--data-dir", made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def csms(*arguments: str | Path) -> str:
    """What a command prints that succeeds."""
    return subprocess.run(
        [sys.executable, "-m", "csms.cli", *arguments], capture_output=True, text=True, check=True, env=environment()
    ).stdout


def environment(**settings: str) -> dict[str, str]:
    """Ours without settings of a system, and these."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("CSMS_")}, **settings}


@contextmanager
def serving(folder: Path, *flags: str, **settings: str) -> Iterator[System]:
    """A system in `folder`; left, it is told to end and does."""
    command = [
        sys.executable,
        "-m",
        "csms.cli",
        "serve",
        "--data-dir",
        str(folder),
        "--ocpp-port",
        "0",
        "--http-port",
        "0",
    ]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, text=True, env=environment(**settings)
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line, "it ended before it was ready"
        ready = json.loads(line)
        assert ready["event"] == "ready"
        try:
            yield System(running, ready["ocpp"], ready["http"])
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                try:
                    assert running.wait(30) == 0
                finally:
                    running.kill()  # one that does not end fails its test, and holds up no other


def boots(station: ClientConnection) -> dict[str, Any]:
    """The payload of the answer to a BootNotification."""
    station.send(BOOT)
    answer: list[Any] = json.loads(station.recv(timeout=20))
    assert answer[:2] == [3, "1"], answer
    payload: dict[str, Any] = answer[2]
    return payload


def test_a_ready_system_is_healthy_and_describes_itself(folder: Path) -> None:
    with serving(folder) as system:
        assert system.get("/healthz")["status"] == "ok"
        assert all(system.get("/readyz")["parts"].values())
        assert system.get("/api/v1/openapi.json")["openapi"].startswith("3.1")
        assert "csms_database_seconds" in system.metrics()


def test_a_station_boots_and_one_with_a_wrong_password_is_told_401(folder: Path) -> None:
    with serving(folder) as system:
        with system.station() as station:
            assert boots(station)["status"] == "Accepted"
            assert 'csms_connections{version="ocpp1.6"} 1.0' in system.metrics()
        with pytest.raises(InvalidStatus) as refused:
            system.station(password="another password of 20")
        assert refused.value.response.status_code == 401


def test_told_to_end_it_sends_its_stations_away_to_redial_and_ends_well(folder: Path) -> None:
    with serving(folder) as system, system.station() as station:
        boots(station)
        system.running.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            station.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert system.running.wait(30) == 0
    assert process.postmaster(folder / "postgres") is None


def test_killed_it_starts_again_and_its_database_recovers(folder: Path) -> None:
    with serving(folder) as system:
        with system.station() as station:
            boots(station)
        system.running.kill()
        system.running.wait()
    with serving(folder) as system, system.station() as station:
        assert boots(station)["status"] == "Accepted"


def test_a_killed_database_is_back_within_seconds_and_stations_keep_their_connection(folder: Path) -> None:
    with serving(folder) as system, system.station() as station:
        boots(station)
        postmaster = process.postmaster(folder / "postgres")
        assert postmaster is not None
        os.kill(postmaster, signal.SIGKILL)
        assert boots(station)["status"] == "Accepted"
        until = time.monotonic() + 10
        while not _is_ready(system):
            assert time.monotonic() < until, "it did not recover"
            time.sleep(0.05)


def test_a_station_is_told_the_systems_time_also_when_it_is_simulated(folder: Path) -> None:
    with serving(folder, "--clock", "2019-06-03T07:00:00Z@max") as system, system.station() as station:
        assert boots(station)["currentTime"] == "2019-06-03T07:00:00Z"


def test_a_simulated_clock_does_not_mind_a_report_without_readings(folder: Path) -> None:
    update = {"eventType": "Updated", "timestamp": "2019-06-03T08:00:00Z", "triggerReason": "ChargingStateChanged",
              "seqNo": 1, "transactionInfo": {"transactionId": "t1", "chargingState": "EVConnected"}}  # fmt: skip
    clock = ("--clock", "2019-06-03T07:00:00Z@max")
    with serving(folder, *clock) as system, system.station(version="ocpp2.0.1") as station:
        station.send(json.dumps([2, "1", "TransactionEvent", update]))
        assert json.loads(station.recv(timeout=20)) == [3, "1", {}]


async def test_a_database_that_is_away_does_not_keep_the_system_from_ending(
    empty_dsn: str, dsn_of: Callable[[str], str], folder: Path
) -> None:
    conn = await asyncpg.connect(dsn_of("postgres"))
    name = urllib.parse.urlsplit(empty_dsn).path.removeprefix("/")
    with serving(folder / "unused", CSMS_DATABASE_URL=empty_dsn) as system:
        seeded = await asyncpg.connect(empty_dsn)
        await make.seed(seeded)
        await seeded.execute(
            "update station set credential = $1 where id = 'S1'", await seal_password(seeded, PASSWORD)
        )
        await seeded.close()
        with system.station("S1") as station:
            boots(station)
            await conn.execute(f"alter database {name} with allow_connections false")
            await conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
            await conn.close()
            station.send(BOOT)
            system.running.send_signal(signal.SIGTERM)
            assert system.running.wait(30) == 0


def test_a_database_of_ones_own_is_used_instead_and_its_schema_made(empty_dsn: str, folder: Path) -> None:
    with serving(folder / "unused", CSMS_DATABASE_URL=empty_dsn) as system:
        assert system.get("/healthz")["status"] == "ok"
    assert not (folder / "unused").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nats", "nats://127.0.0.1"], "without a bus"),
        (["--gateways", "2"], "gateways"),
        (["--clock", "noon"], "START@SPEED"),
    ],
)
def test_what_cannot_be_served_is_said_in_words(folder: Path, flags: list[str], words: str) -> None:
    assert words in _refused(folder, *flags)


@pytest.mark.parametrize("flag", ["--http-port", "--ocpp-port"])
def test_a_port_that_is_taken_is_said_in_words(folder: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = _refused(folder, flag, str(port))
        assert f"cannot listen on 127.0.0.1 port {port}: address already in use; {flag}" in said


def test_two_systems_never_share_the_stations_of_a_port(folder: Path, empty_dsn: str) -> None:
    with serving(folder) as system:
        port = str(urllib.parse.urlsplit(system.ocpp).port)
        assert "address already in use" in _refused(folder, "--ocpp-port", port, CSMS_DATABASE_URL=empty_dsn)


def test_a_second_system_on_the_same_data_is_refused(folder: Path) -> None:
    with serving(folder) as system:
        assert f"another csms serve works in {folder}; end it first" in _refused(folder)
        assert system.get("/healthz")["status"] == "ok"


def test_a_social_server_without_our_secret_is_refused(folder: Path) -> None:
    assert "our secret there (CSMS_SOCIAL_SECRET) is not" in _refused(folder, CSMS_SOCIAL_URL="http://127.0.0.1:1")


def _refused(folder: Path, *flags: str, **settings: str) -> str:
    """What `csms serve` says when it does not start."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "csms.cli",
            "serve",
            "--data-dir",
            str(folder),
            "--ocpp-port=0",
            "--http-port=0",
            *flags,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**settings),
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stderr


def _is_ready(system: System) -> bool:
    try:
        return all(system.get("/readyz")["parts"].values())
    except urllib.error.HTTPError:
        return False
