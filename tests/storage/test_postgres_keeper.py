"""The tests' own PostgreSQL server stops when no test run uses it."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from tests import postgres, postgres_keeper


def test_users_share_one_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    with postgres.shared_server(tmp_path) as first:
        with postgres.shared_server(tmp_path) as second:
            assert first == second
        with psycopg.connect(host=first, user="postgres", dbname="postgres") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    gone = threading.Event()
    for _ in range(200):
        if not Path(first).exists():
            break
        gone.wait(0.05)
    assert not Path(first).exists()
    assert not (tmp_path / "postgres-sockets").exists()


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "keeper.py"
    broken.write_text(Path(postgres_keeper.__file__).read_text().replace("--encoding=UTF8", "--encoding=NOPE"))
    monkeypatch.setattr(postgres, "KEEPER", broken)
    with pytest.raises(postgres.PostgresNotStarted, match="NOPE"), postgres.shared_server(tmp_path):
        pass
