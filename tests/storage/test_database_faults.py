"""An unreachable, busy or damaged database is reported as such, and used again once it recovers."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from gateway.domain.errors import StoreUnavailable
from gateway.wiring.running_gateway import check_database
from storage.connecting import database, error_map
from storage.connecting.database import is_nearly_full
from storage.connecting.outage import describe_outage
from storage.migrations import upgrade
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_helpers import PLATFORM, enqueue, enqueue_one, get_turn, message, new_turn, run_concurrently


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)


def unavailable(store: SqlStore) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        enqueue(store)
    assert caught.value.__cause__ is not None
    store.close()
    return str(caught.value)


def kill_connections(url: str) -> None:
    """Closes all connections, as a restart of the server does."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")


class TestSqliteFaults:
    def test_file_without_tables_names_the_migrate_command(self, tmp_path: Path) -> None:
        assert "`migrate`" in unavailable(SqlStore(f"sqlite:///{tmp_path}/new.db"))

    def test_file_that_is_no_database_is_reported(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.db"
        path.write_text("Buy milk. " * 500)
        assert unavailable(SqlStore(f"sqlite:///{path}")) == error_map.DAMAGED.format(file=path)

    def test_a_folder_that_takes_no_files_is_not_a_full_disk(self) -> None:
        store = SqlStore("sqlite:////proc/gateway.db")
        assert unavailable(store).startswith("The database /proc/gateway.db cannot be written to")
        assert not store.is_disk_full()

    @pytest.mark.parametrize(("blocks", "flag", "full"), [(9, 0, True), (0, 0, False), (9, os.ST_RDONLY, False)])
    def test_a_disk_without_space_is_full_if_it_takes_files(self, *, blocks: int, flag: int, full: bool) -> None:
        assert is_nearly_full(os.statvfs_result((4096, 4096, blocks, 0, 0, 9, 9, 9, flag, 255))) is full

    def test_read_only_file_is_reported(self, sqlite_url: str) -> None:
        file = sqlite_url.removeprefix("sqlite:///")
        store = SqlStore(f"sqlite:///file:{file}?mode=ro&uri=true")
        assert unavailable(store).startswith(f"The database file:{file} cannot be written to")

    def test_lock_of_another_process_is_waited_for_then_reported(self, sqlite_url: str, impatient: None) -> None:
        store = SqlStore(sqlite_url)
        enqueue(store)
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"is busy"):
            enqueue(store)
        other.execute("ROLLBACK")
        assert enqueue(store).is_new
        other.close()
        store.close()

    def test_transaction_of_another_thread_is_waited_for_then_reported(self, sqlite_url: str, impatient: None) -> None:
        store = SqlStore(sqlite_url)
        with store._database.transaction(), pytest.raises(StoreUnavailable, match=r"is busy"):
            enqueue(store)
        assert enqueue(store).is_new
        store.close()

    def test_writers_of_one_process_take_turns(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """More writers than SQLite's own busy handler would admit in this time."""
        with monkeypatch.context() as impatient:
            impatient.setattr(database, "WAIT_SECONDS", 0.05)
            store = SqlStore(sqlite_url)
        entered, most, lock = 0, 0, threading.Lock()

        def write() -> None:
            nonlocal entered, most
            with store._database.transaction() as connection:
                with lock:
                    entered += 1
                    most = max(most, entered)
                connection.execute(text("UPDATE facts SET value = value"))
                with lock:
                    entered -= 1

        run_concurrently([write] * 8)
        assert most == 1
        store.close()

    def test_nothing_is_left_of_a_transaction_whose_commit_failed(self, sqlite_store: SqlStore) -> None:
        def rate_no_turn() -> None:
            with sqlite_store._database.transaction() as connection:
                connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
                connection.exec_driver_sql("INSERT INTO verdicts VALUES ('no turn', 'ann', 'good', 0)")

        with pytest.raises(StoreUnavailable):
            rate_no_turn()
        assert enqueue(sqlite_store).is_new
        with sqlite_store._database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM verdicts").scalar() == 0

    def test_the_file_is_set_up_to_survive_a_power_cut(self, sqlite_store: SqlStore) -> None:
        with sqlite_store._database.read() as connection:
            asked = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            }
        assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}

    def test_only_its_user_can_read_a_new_file(self, tmp_path: Path) -> None:
        upgrade(f"sqlite:///{tmp_path}/new.db")
        store = SqlStore(f"sqlite:///{tmp_path}/new.db")
        enqueue(store)
        modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in tmp_path.iterdir()}
        store.close()
        assert modes == {"new.db": "600", "new.db-wal": "600", "new.db-shm": "600"}

    def test_what_is_deleted_is_not_in_the_file(self, sqlite_store: SqlStore, tmp_path: Path) -> None:
        sqlite_store.set_value("secret", "xoxb-deleted" * 200)
        sqlite_store.delete_value("secret")
        with sqlite_store._database.read() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        assert b"xoxb-deleted" not in (tmp_path / "gateway.db").read_bytes()

    def test_a_disk_that_a_write_met_full_counts_as_full_for_a_while(
        self, sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not sqlite_store.is_disk_full()
        with sqlite_store._database.transaction() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreUnavailable, match="disk"):
            sqlite_store.set_value("large", "x" * 1_000_000)
        assert sqlite_store.is_disk_full()
        monkeypatch.setattr(sqlite_store._database._errors, "full_until", 0.0)
        assert not sqlite_store.is_disk_full()

    def test_a_disk_that_is_nearly_full_counts_as_full(
        self, sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "MIN_FREE_BYTES", 1 << 62)
        assert sqlite_store.is_disk_full()
        names = {check.name: check.ok for check in check_database(sqlite_store)}
        assert names == {"database": True, "disk": False}

    def test_readers_take_no_connection_of_the_writers(self, sqlite_url: str, impatient: None) -> None:
        store = SqlStore(f"{sqlite_url}?pool_size=1")
        with store._database.read(), store._database.driver_read():
            assert enqueue(store).is_new
        store.close()

    def test_a_connection_that_breaks_while_it_reads_is_replaced(self, sqlite_store: SqlStore) -> None:
        with sqlite_store._database.driver_read() as cursor:
            cursor.connection.close()
        with pytest.raises(StoreUnavailable):
            sqlite_store.ping()
        sqlite_store.ping()

    def test_connections_that_have_read_hold_back_no_checkpoint(self, sqlite_url: str) -> None:
        store = SqlStore(sqlite_url)
        with store._database.read() as connection, store._database.driver_read() as cursor:
            connection.exec_driver_sql("SELECT name FROM facts").all()
            cursor.execute("SELECT name FROM facts").fetchall()
        enqueue(store)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            is_busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not is_busy
        store.close()

    def test_a_closed_file_has_no_log_left(self, sqlite_url: str) -> None:
        store = SqlStore(sqlite_url)
        enqueue(store)
        store.ping()
        store.close()
        assert not Path(f"{sqlite_url.removeprefix('sqlite:///')}-wal").exists()


class TestPostgresqlFaults:
    def test_database_without_tables_names_the_migrate_command(self, postgres_sockets: str) -> None:
        assert unavailable(SqlStore(postgres.new_database(postgres_sockets))) == error_map.OUTDATED

    def test_unreachable_server_is_reported_without_the_password(self, tmp_path: Path) -> None:
        store = SqlStore(f"postgresql://ada:hunter2@/gateway?host={tmp_path}")
        with pytest.raises(StoreUnavailable) as caught:
            store.ping()
        assert str(caught.value).startswith(f"The database at {tmp_path} cannot be reached: there is no such socket.")
        error: BaseException | None = caught.value
        while error is not None:
            assert "hunter2" not in str(error)
            error = error.__cause__
        store.close()

    def test_missing_database_is_reported(self, postgres_sockets: str) -> None:
        said = unavailable(SqlStore(f"postgresql://postgres@/nothing?host={postgres_sockets}"))
        assert said.startswith(
            f"The database at {postgres_sockets} cannot be reached: it has no such database. Check DATA"
        )

    def test_unknown_user_is_reported(self, postgres_sockets: str) -> None:
        said = unavailable(SqlStore(f"postgresql://ada:hunter2@/postgres?host={postgres_sockets}"))
        assert ": it has no such user." in said

    def test_refused_connection_and_unknown_host_are_reported(self) -> None:
        with closing(socket.socket()) as closed:
            closed.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
            port = closed.getsockname()[1]
            said = unavailable(SqlStore(f"postgresql://ada:hunter2@127.0.0.1:{port}/gateway"))
        assert said.startswith(f"The database at 127.0.0.1:{port} cannot be reached: nothing listens there")
        assert "hunter2" not in said
        assert "there is no such host" in unavailable(SqlStore("postgresql://ada@nowhere.invalid/gateway"))

    @pytest.mark.parametrize(
        ("words", "cause"),
        [
            ('FATAL:  password authentication failed for user "ada"', "it refuses the user or the password"),
            ("fe_sendauth: no password supplied", "it refuses the user or the password"),
            ('FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "ada"', "it does not admit this client"),
            ("connection timeout expired", "it does not answer in time"),
            ("FATAL:  the database system is starting up", "it is starting or stopping"),
            ("root certificate file does not exist", "there is no TLS connection to it"),
            ("something\n  new", "something new"),
            ("", "OSError"),
        ],
    )
    def test_what_libpq_says_is_understood(self, words: str, cause: str) -> None:
        said = describe_outage(make_url("postgresql://ada:hunter2@db.example/gateway"), OSError(words))
        assert said.startswith(f"The database at db.example:5432 cannot be reached: {cause}")

    def test_idle_connection_is_replaced_after_server_restart(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "PING_AFTER_SECONDS", 0.0)
        store = SqlStore(postgres_url)
        turn = enqueue(store, owner="one").turn
        kill_connections(postgres_url)
        assert get_turn(store, turn) == turn
        store.close()

    def test_recently_used_connection_fails_once_after_server_restart(self, postgres_url: str) -> None:
        store = SqlStore(postgres_url)
        with store._database.transaction() as connection:
            connection.execute(text("SELECT 1"))
        kill_connections(postgres_url)
        with pytest.raises(StoreUnavailable) as caught:
            enqueue(store)
        assert "cannot be reached: it closed the connection" in str(caught.value)
        assert enqueue(store).is_new
        store.close()

    def test_idle_transaction_is_terminated_by_the_server(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(database.POSTGRESQL_TIMEOUTS, "idle_in_transaction_session_timeout", 500)
        frozen, other = SqlStore(postgres_url), SqlStore(postgres_url)
        turn = enqueue(other, "frozen").turn

        def freeze() -> None:
            lock = text("SELECT 1 FROM conversations WHERE id = :id FOR UPDATE")
            with frozen._database.transaction() as connection:
                connection.execute(lock, {"id": turn.conversation_id})
                assert enqueue(other, "frozen").is_new  # waits for that lock

        with pytest.raises(StoreUnavailable):
            freeze()
        frozen.close()
        other.close()

    def test_reading_opens_no_transaction(self, postgres_url: str) -> None:
        store = SqlStore(postgres_url)
        with store._database.read() as connection:
            connection.execute(text("SELECT 1"))
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            assert driver.info.transaction_status is TransactionStatus.IDLE
        store.close()

    def test_a_single_statement_commits_by_itself(self, postgres_url: str) -> None:
        store = SqlStore(postgres_url)
        with store._database.single_write() as connection:
            connection.execute(text("DELETE FROM facts"))
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            assert driver.info.transaction_status is TransactionStatus.IDLE
        store.close()

    def test_pool_size_limits_connections(self, postgres_url: str, impatient: None) -> None:
        store = SqlStore(f"{postgres_url}&pool_size=1")
        with store._database.read(), pytest.raises(StoreUnavailable, match=r"is busy"):
            store.ping()
        store.ping()
        store.close()

    def test_options_of_the_operator_take_precedence(self, postgres_url: str) -> None:
        store = SqlStore(f"{postgres_url}&options=-c%20lock_timeout%3D1234&application_name=mine")
        names = ("lock_timeout", "statement_timeout", "application_name", "transaction_isolation")
        with store._database.transaction() as connection:
            asked = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
        assert asked == ["1234ms", "30s", "mine", "read committed"]
        store.close()


def test_programming_error_is_no_outage_and_leaks_no_secret(store: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(DBAPIError) as caught, store._database.transaction() as connection:
        connection.execute(text("INSERT INTO facts (name) VALUES (:name)"), {"name": "swordfish"})
    assert "swordfish" not in str(caught.value).partition("DETAIL")[0]
    enqueue_one(store, message(text="swordfish"), new_turn())
    assert store.claim("one", [PLATFORM], 1)
    assert "swordfish" not in caplog.text
