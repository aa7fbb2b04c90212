"""Other programs of the story, each a process of its own: started, heard of when ready, ended politely."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

READY_S_MAX = 60
END_S_MAX = 20


class ProcessFailed(Exception):
    """A program did not do what was asked; the text has its last words."""


class Process:
    """A running program that printed a JSON line `{"event": "ready", ...}`; its log is in `log`."""

    def __init__(self, process: asyncio.subprocess.Process, ready: Mapping[str, Any], log: Path) -> None:
        self._process = process
        self.ready = ready
        self.log = log

    @classmethod
    async def start(cls, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
        """Starts `command` and waits for its ready line. Raises `ProcessFailed`."""
        with log.open("wb") as words:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdout=asyncio.subprocess.PIPE,
                stderr=words,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S_MAX):
                while line := await process.stdout.readline():
                    with suppress(ValueError):
                        if isinstance(said := json.loads(line), dict) and said.get("event") == "ready":
                            return cls(process, said, log)
        except TimeoutError:
            process.kill()
            raise ProcessFailed(f"{command[0]} was not ready after {READY_S_MAX} s; see {log}") from None
        await process.wait()
        raise ProcessFailed(f"{' '.join(command[:4])} ended with status {process.returncode}:\n{last_words(log)}")

    async def stop(self) -> None:
        """Asks it to end, and insists after a while."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(END_S_MAX):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


async def output(command: Sequence[str]) -> tuple[int, str, str]:
    """Runs a command to its end: status, what it printed, and its complaints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaints = await process.communicate()
    return process.returncode or 0, said.decode(), complaints.decode()


def last_words(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
