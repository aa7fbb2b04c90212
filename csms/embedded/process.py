"""
Processes of an embedded server: which postmaster runs on a cluster, and starting one as our child.

Linux only: what a process is, is read from /proc. A pid alone proves nothing: it may be dead, a
zombie, or by now another program's. A postmaster is known by its name and by its working folder,
which is the cluster.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from csms.embedded.home import SOCKET, Home, as_user

PID_NEVER = 4_194_305
"""One above the largest pid Linux gives out: no process ever has it."""

LOG_BYTES_MAX = 10_000_000
"""A longer log is set aside at the next start; one older is kept."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def postmaster(cluster: Path) -> int | None:
    """The pid of the postmaster that runs on `cluster`, None if there is none."""
    pid = _recorded_pid(cluster)
    return pid if pid is not None and is_server(pid, cluster) else None


def is_server(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a living PostgreSQL process of this cluster; a zombie is not living."""
    process = Path("/proc") / str(pid)
    try:
        name, _, rest = (process / "stat").read_text().partition(" (")[2].rpartition(") ")
        return name == "postgres" and rest[0] not in "ZX" and _working_folder(pid, cluster) == cluster
    except OSError:
        return False


def _working_folder(pid: int, cluster: Path) -> Path:
    """Where a process works. Raises OSError when there is no such process, or it may not be looked at."""
    try:
        return (Path("/proc") / str(pid) / "cwd").readlink()
    except PermissionError:
        if os.geteuid() != 0:
            raise
    # Root in a container mostly lacks CAP_SYS_PTRACE; then only the cluster's own user may look.
    owner = cluster.stat()
    looked = subprocess.run(
        ["/bin/sh", "-c", 'cd -P "/proc/$1/cwd" && pwd -P', "sh", str(pid)],
        capture_output=True,
        check=False,
        cwd="/",
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
    )
    return Path(os.fsdecode(looked.stdout.removesuffix(b"\n")))


def clear_remains(cluster: Path, sockets: Path) -> None:
    """
    Make way for a new postmaster where none lives; call it under the start lock only.

    Backends that outlived their postmaster are killed, as it would have done itself. A recorded
    pid that by now is a zombie or another program would make PostgreSQL refuse to start: its
    place is taken by a pid that never lives. The file stays, for the new postmaster finds the
    old shared memory by it and refuses while anybody still writes to the cluster. The socket
    and its lock are of no such use and go; nobody else's are in that folder.
    """
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and is_server(int(process.name), cluster):
            _kill(int(process.name), signal.SIGKILL)
    pid = _recorded_pid(cluster)
    if pid is not None and _exists(pid):
        path = cluster / "postmaster.pid"
        lines = path.read_text().split("\n")
        path.write_text("\n".join([str(PID_NEVER), *lines[1:]]))
    for name in (SOCKET, f"{SOCKET}.lock"):
        (sockets / name).unlink(missing_ok=True)


def spawn(home: Home, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """
    Start `postgres` in the foreground as our child, in a process group of its own.

    When the thread that calls this ends, and so when we are killed, the kernel sends the server
    SIGINT, its fast shutdown: it never outlives us for long. So call it from the main thread.
    """
    if home.log.exists() and home.log.stat().st_size > LOG_BYTES_MAX:
        home.log.replace(home.log.with_suffix(".log.1"))
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with home.log.open("ab") as log:
        child: subprocess.Popen[bytes] = subprocess.Popen(
            [str(home.binaries / "postgres"), "-D", str(home.cluster), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment(),
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGINT),
            **as_user(home.user),  # type: ignore[call-overload]
        )
    return child


def initdb(home: Home, cluster: Path, role: str) -> subprocess.Popen[bytes]:
    """Start making a cluster in the empty folder `cluster`, owned by `role`; it is killed with us."""
    if home.user is not None:
        os.chown(cluster, home.user.pw_uid, home.user.pw_gid)
    words = f"-U {role} -E UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 -A trust"
    child: subprocess.Popen[bytes] = subprocess.Popen(
        [str(home.binaries / "initdb"), "-D", str(cluster), *words.split()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env=environment(),
        preexec_fn=dies_with_us(signal.SIGKILL),
        **as_user(home.user),  # type: ignore[call-overload]
    )
    return child


def dies_with_us(number: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends this child signal `number` when its parent thread ends."""
    parent = os.getpid()

    def ask_kernel() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return ask_kernel


def environment() -> dict[str, str]:
    """What PostgreSQL's programs may see of our environment: nothing that changes what they do."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _recorded_pid(cluster: Path) -> int | None:
    """The first line of postmaster.pid, None if there is no such file or it holds no pid (yet)."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 0 else None


def _exists(pid: int) -> bool:
    return (Path("/proc") / str(pid)).exists()


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
