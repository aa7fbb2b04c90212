"""The social-payment server as a process of its own, for tests: started, killed, told to fail, asked what it did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, encode_basic_auth

SECRET = "social-secret"
PROVIDER_ACCOUNT = "acct-provider"
OPERATOR_ACCOUNT = "acct-operator"


@dataclass(slots=True)
class SocialProcess:
    """A running server. Tests share it, so they name their drivers and orders themselves and count by those."""

    process: subprocess.Popen[str]
    url: str

    @classmethod
    def start(cls, *flags: str, sellers: Sequence[str] = (PROVIDER_ACCOUNT, OPERATOR_ACCOUNT)) -> SocialProcess:
        """Start it and wait until it can serve."""
        command = [sys.executable, "-m", "charge_points_sim.social", "--port", "0", "--denied", "refused-", *flags]
        for seller in sellers:
            command += ["--seller", seller]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        return cls(process, ready["http"])

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    async def call(
        self, method: str, path: str, body: object = None, key: str | None = None, secret: str = SECRET
    ) -> tuple[int, dict[str, Any]]:
        """One plain request: (status, answer)."""
        headers = {"Authorization": encode_basic_auth(secret, "")}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with (
            ClientSession() as http,
            http.request(method, self.url + path, json=body, headers=headers) as response,
        ):
            return response.status, await response.json()

    async def fail(self, operation: str, kind: str, count: int | None = 1, delay_s: float = 0.0) -> None:
        """Switch a fault on, for the next call unless told otherwise."""
        body = {"operation": operation, "kind": kind, "delay_s": delay_s, "count": count}
        status, _ = await self.call("POST", "/admin/faults", body)
        assert status == 200

    async def heal(self) -> None:
        """Switch all faults off."""
        await self.call("DELETE", "/admin/faults")

    async def token(self, subject: str, **more: object) -> str:
        """A token of a driver, as the driver's terminal would get it."""
        _, answer = await self.call("POST", "/oauth/driver-token", {"subject": subject, **more})
        return str(answer["access_token"])

    async def journal(self) -> list[dict[str, Any]]:
        """Everything that had an effect, page by page."""
        entries: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            _, page = await self.call("GET", f"/v1/journal?after={after}&limit=500")
            entries += page["entries"]
            after = page["next"]
        return entries
