"""Parses DATABASE_URL; errors say what to write instead."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.domain.errors import SettingsError

FORMS = "sqlite:///gateway.db or postgresql://user:password@host/name"
DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
URI_OPTIONS = frozenset({"cache", "immutable", "mode", "nolock", "psow", "vfs"})
"""What SQLite itself reads from ``sqlite:///file:gateway.db?…&uri=true``, https://sqlite.org/uri.html."""
POOL_SIZE = 10
"""Connections per process, if the URL does not set it."""


def read_url(text: str) -> tuple[URL, int]:
    """Returns the URL of the database and the maximum number of connections, set by ``?pool_size=``.

    PostgreSQL takes one more connection, for LISTEN. Behind PgBouncer in transaction mode it receives nothing; events
    of other processes are then found by polling, a second or two later.

    Raises SettingsError, without the URL in it, as that may contain a password.
    """
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # Not chained: the original error quotes the URL.
        wrong(f"this is not the address of a database; write {FORMS}.")
    driver = DRIVERS.get(url.drivername)
    if driver is None:
        wrong(f"{url.drivername} is not a database the gateway can use; write {FORMS}.")
    size = _pool_size(url.query.get("pool_size"))
    url = url.set(drivername=driver).difference_update_query(["pool_size"])
    if url.get_backend_name() == "sqlite":
        _check_file(url)
    elif "@" in (url.host or ""):
        wrong("an @ in the password must be written as %40 (and / as %2F, : as %3A, % as %25).")
    return url, size


def file_of(url: URL) -> Path | None:
    """Returns the file of an SQLite database; None for a server, and for a URI that SQLite parses itself."""
    if url.get_backend_name() != "sqlite" or url.query.get("uri") or not url.database:
        return None
    return Path(url.database)


def require_file(text: str) -> None:
    """Raises SettingsError for an SQLite file that is not there."""
    path = file_of(read_url(text)[0])
    if path is not None and not os.access(path, os.F_OK):
        wrong(
            f"there is no database at {path.absolute()}. Run this in the folder of the gateway, or with its "
            "DATABASE_URL; serve and migrate create one."
        )


def describe(url: URL) -> str:
    """Returns where the data is, without credentials: the absolute path of a file, or a server and its database."""
    path = file_of(url)
    if path is not None:
        return str(path.absolute())
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    return url.set(username=None, password=None, query={}, drivername=url.get_backend_name()).render_as_string()


def wrong(what: str) -> NoReturn:
    raise SettingsError(f"DATABASE_URL: {what}") from None


def _pool_size(text: Any) -> int:
    if text is None:
        return POOL_SIZE
    if not (isinstance(text, str) and text.isdecimal() and int(text)):
        wrong("pool_size must be a number of connections, at least 1.")
    return int(text)


def _check_options(url: URL) -> None:
    """Refuses what would be ignored: SQLAlchemy's options, as the gateway sets them, and unknown ones."""
    known = URI_OPTIONS if "uri" in url.query else frozenset[str]()
    unknown = sorted(set(url.query) - known - {"uri"})
    if unknown:
        form = " without uri=true" if URI_OPTIONS.issuperset(unknown) else ""
        wrong(f"an SQLite file takes no option {', '.join(unknown)}{form}; pool_size is one that it takes.")


def _check_file(url: URL) -> None:
    if url.host or url.username:
        wrong("an SQLite file takes three slashes when its path is relative, and four when it is absolute.")
    if url.database in (None, "", ":memory:") or url.query.get("mode") == "memory":
        wrong("a database in memory would forget every turn; name a file, like sqlite:///gateway.db.")
    path = file_of(url)
    _check_options(url)
    if path is None:
        return
    # What may not be looked at is not there for os.access, while methods of Path raise.
    if not (os.access(path.parent, os.F_OK) and path.parent.is_dir()):
        wrong(
            f"the folder {path.parent} does not exist, or this user may not look into it; create it, or name a file in "
            "another."
        )
    if os.access(path, os.F_OK) and path.is_dir():
        wrong(f"{path} is a folder; name a file in it.")
    beside = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))  # which another user may have left
    if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        wrong(f"{path.parent} is on a disk that is mounted read-only; name a file on another.")
    for needed in (path.parent, path, *beside):
        if os.access(needed, os.F_OK) and not os.access(needed, os.W_OK):
            wrong(f"{needed} may not be written by this user; change its permissions, or name another file.")
