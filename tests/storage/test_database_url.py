"""Parsing of DATABASE_URL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.domain.errors import SettingsError
from storage.connecting.database_url import POOL_SIZE, read_url, require_file
from storage.store import SqlStore

SECRET = "hunter2"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_postgresql_scheme_maps_to_psycopg(scheme: str) -> None:
    url, size = read_url(f"{scheme}://ada:{SECRET}@db.example:5433/gateway?sslmode=require")
    assert (url.drivername, url.host, url.port, url.password) == ("postgresql+psycopg", "db.example", 5433, SECRET)
    assert (dict(url.query), size) == ({"sslmode": "require"}, POOL_SIZE)


def test_pool_size_is_read_from_the_url(tmp_path: Path) -> None:
    url, size = read_url("postgresql://db.example/gateway?pool_size=3&sslmode=require")
    assert (size, dict(url.query)) == (3, {"sslmode": "require"})
    assert read_url(f"sqlite:///{tmp_path}/a.db?pool_size=2")[1] == 2
    for wrong in ("0", "many", "-1"):
        with pytest.raises(SettingsError, match="pool_size"):
            read_url(f"postgresql://db.example/gateway?pool_size={wrong}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"mysql://ada:{SECRET}@db/gateway", "mysql is not a database"),
        (f"postgresql+psycopg2://ada:{SECRET}@db/gateway", "postgresql://user:password@host/name"),
        (f"postgresql://ada:{SECRET}@db:port/gateway", "not the address of a database"),
        (f"postgresql://ada:hun@{SECRET}@db/gateway", "%40"),
        (SECRET, "not the address of a database"),
        ("", "not the address of a database"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("sqlite://gateway.db", "three slashes"),
        ("sqlite:///gateway.db?mode=ro", "takes no option mode without uri=true"),
        ("sqlite:///gateway.db?timeout=3&foo=1", "takes no option foo, timeout;"),
        ("sqlite:///file:gateway.db?uri=true&mode=rw&timeout=3", "takes no option timeout;"),
        ("sqlite:////nowhere/at/all/gateway.db", "the folder /nowhere/at/all does not exist"),
        ("sqlite:////tmp", "is a folder"),
    ],
)
def test_errors_do_not_contain_the_password(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SqlStore(url)
    assert str(caught.value).startswith("DATABASE_URL: ")
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("closed", ["", "gateway.db", "gateway.db-wal", "gateway.db-shm"])
def test_path_without_write_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    path = tmp_path / "gateway.db"
    path.touch()
    shut = tmp_path / closed
    if closed:
        shut.touch()
    # os.access is patched, because root may write anywhere.
    monkeypatch.setattr(os, "access", lambda asked, mode: not (asked == shut and mode == os.W_OK))
    with pytest.raises(SettingsError, match="may not be written") as caught:
        SqlStore(f"sqlite:///{path}")
    assert str(shut) in str(caught.value)


def test_a_disk_that_is_mounted_read_only_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # os.statvfs is patched, because only root may mount.
    read_only = os.statvfs_result((4096, 4096, 9, 0, 0, 9, 9, 9, os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    with pytest.raises(SettingsError, match=f"{tmp_path} is on a disk that is mounted read-only"):
        SqlStore(f"sqlite:///{tmp_path}/gateway.db")


def test_a_path_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    long = tmp_path / ("a" * 300)
    with pytest.raises(SettingsError, match=r"DATABASE_URL: the folder .* does not exist, or this user may not look"):
        SqlStore(f"sqlite:///{long}/gateway.db")
    with pytest.raises(SettingsError, match="DATABASE_URL: there is no database at "):
        require_file(f"sqlite:///{long}")
