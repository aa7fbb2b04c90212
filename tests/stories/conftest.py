"""A whole system for the stories: `csms serve` and the social-payment server, each a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from charge_points_sim.process import last_words
from charge_points_sim.rest import Rest
from tests.stories.world import HOOK_SECRET, SECRET, SPLIT, World

BIN = Path(sys.executable).parent
START = "2026-01-01T00:00:00Z"

Ready = dict[str, str]


def spawn(
    folder: Path, name: str, command: list[str], environment: dict[str, str]
) -> tuple[subprocess.Popen[str], Ready]:
    """A process that has said that it is ready."""
    log = folder / f"{name}.log"
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log.open("w"), text=True, env={**os.environ, **environment}
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith('{"event'):
            return process, json.loads(line)
    raise AssertionError(f"{name} did not start:\n{last_words(log)}")


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, str]]:
    """Addresses of a running system, its payment server, and a client's id and secret."""
    folder = Path(tempfile.mkdtemp(prefix="csms-stories-", dir="/tmp"))
    folder.chmod(0o755)
    data = str(folder / "data")
    sellers = [word for seller in ("operator", "provider") for word in ("--seller", seller)]
    processes = []
    try:
        social = [str(BIN / "charge-points-sim"), "social", "--port", "0", "--secret", SECRET, "--denied", "stranger-"]
        process, payments = spawn(folder, "social", social + sellers, {})
        processes.append(process)
        serve = [str(BIN / "csms"), "serve", "--data-dir", data, "--ocpp-port", "0", "--http-port", "0"]
        process, system = spawn(
            folder,
            "csms",
            [*serve, "--clock", f"{START}@max"],
            {
                "CSMS_SOCIAL_URL": payments["http"],
                "CSMS_SOCIAL_SECRET": SECRET,
                "CSMS_SOCIAL_WEBHOOK_SECRETS": HOOK_SECRET,
                "CSMS_WEBHOOKS_TO_PRIVATE": "true",
            },
        )
        processes.append(process)
        command = [str(BIN / "csms"), "staff", "add-client", "--data-dir", data, "--scope", "admin", "--json"]
        client = json.loads(subprocess.check_output(command, text=True))
        yield {
            "ocpp": system["ocpp"],
            "http": system["http"],
            "social": payments["http"],
            "data": data,
            "id": client["client_id"],
            "secret": client["client_secret"],
        }
        subprocess.run([str(BIN / "csms"), "check", "--data-dir", data], check=True, timeout=60)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


DAYS = count(1)


@pytest.fixture
async def world(running: dict[str, str]) -> AsyncIterator[World]:
    """The running system, with a provider and a tariff, on a day that no other story has seen."""
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, running["http"], running["id"], running["secret"])
        made = World(rest, http, running["ocpp"], running["social"], day=next(DAYS))
        await made.once(
            "/providers", {"id": "provider", "name": "Provider", "terms": SPLIT, "psp_accounts": {"social": "provider"}}
        )
        yield made
        await made.close()
