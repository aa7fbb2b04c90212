"""The embedded server under root without CAP_SYS_PTRACE, which most containers do not have."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PR_CAPBSET_DROP, CAP_SYS_PTRACE = 24, 19

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from csms.embedded import WATCH_S, Embedded

async def hold():
    folder = Path(sys.argv[1])
    async with await Embedded.start(folder) as owner, await Embedded.start(folder) as guest:
        before = [owner.pid, guest.pid]
        keeping = [asyncio.create_task(server.keep_running()) for server in (owner, guest)]
        await asyncio.sleep(4 * WATCH_S)
        assert not any(task.done() for task in keeping)
        print(json.dumps({"owned": [owner.owned, guest.owned], "pids": [*before, owner.pid, guest.pid]}))
        for task in keeping:
            task.cancel()

asyncio.run(hold())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user serve")
def test_root_that_may_not_look_at_other_users_processes_keeps_its_server() -> None:
    folder = Path(tempfile.mkdtemp(prefix="csms-embedded-", dir="/tmp"))
    try:
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder)],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            check=True,
            timeout=60,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0),
        )
        told = json.loads(ran.stdout)
        assert told["owned"] == [True, False]
        assert len(set(told["pids"])) == 1
        assert told["pids"][0] is not None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
