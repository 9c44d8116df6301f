"""A database is migrated while the previous version uses it; interrupted migrations are repaired."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, text

from gateway.domain.errors import SettingsError, StoreUnavailable
from storage import migrations
from storage.connecting.database import Database
from storage.migrations import REVISIONS, SchemaStatus, schema_status, upgrade
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_helpers import answer, claim_one, finish
from tests.storage.older_schema import bring_to
from tests.storage.test_migrations import set_revision

NOW = {"sqlite": "((julianday('now') - 2440587.5) * 86400.0)", "postgresql": "date_part('epoch', clock_timestamp())"}
OPEN = """INSERT INTO conversations
    (platform, workspace, channel, topic, user_id, head, tail, next_at, owner, epoch, created_at)
    VALUES ('pigeon', '', :channel, '', '', 0, 1, {now}, NULL, 0, {now})
    ON CONFLICT (platform, workspace, channel, topic, user_id) DO UPDATE SET tail = conversations.tail + 1,
    next_at = coalesce(conversations.next_at, {now}) RETURNING id, head, tail, thread_id, backend, epoch"""
TELL = """INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, attempts,
    received_at, started_at) VALUES (:conversation, :seq, :id, 'pigeon', :id, 'Hello', '', '{{}}', 'queued', 0, {now},
    NULL) ON CONFLICT DO NOTHING"""
LOOK = """SELECT t.id, t.conversation_id, t.seq, t.message_id, t.text, t.author, t.address, t.kind, t.files, t.state,
    t.attempts, t.run_id, t.reply, t.made, t.error_code, t.error_sentence, t.error_detail, t.error_retry_after,
    t.tokens_in, t.tokens_out, t.parts, t.received_at, t.started_at, t.answered_at, t.delivered_at
    FROM conversations c JOIN turns t ON t.conversation_id = c.id AND t.seq BETWEEN c.head + 1 AND c.head + 2
    WHERE c.id = :conversation"""
SETTLE = """UPDATE turns SET state = 'answered', reply = 'Hi', made = '[]', tokens_in = 1, tokens_out = 2,
    answered_at = {now}, parts = '["1"]' WHERE conversation_id = :conversation AND seq = :seq"""
PLACE = """INSERT INTO limits (name, at) VALUES (:channel, {now} + 1) ON CONFLICT (name)
    DO UPDATE SET at = limits.at + 1 WHERE limits.at <= {now} + 10"""
HOLD = """INSERT INTO leases (name, owner, until) VALUES (:channel, 'old', {now} + 1) ON CONFLICT (name)
    DO UPDATE SET owner = 'old', until = {now} + 1"""


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Returns the URL of a database at the second revision."""
    url = f"sqlite:///{tmp_path}/old.db"
    if request.param == "postgresql":
        url = postgres.new_database(request.getfixturevalue("postgres_sockets"))
    bring_to(url, "0002")
    return url


@pytest.fixture
def old_server(postgres_sockets: str) -> str:
    url = postgres.new_database(postgres_sockets)
    bring_to(url, "0002")
    return url


class OldCode:
    """Enqueues and answers messages with the statements of the second revision, until it is stopped."""

    def __init__(self, url: str) -> None:
        patience = {"timeout": 5.0} if url.startswith("sqlite") else {"options": "-c lock_timeout=5000"}
        self.engine = create_engine(url, connect_args=patience)
        self.stopped = threading.Event()
        self.progress = threading.Condition()
        self.done = 0

    def work(self) -> None:
        now = NOW[self.engine.dialect.name]
        while not self.stopped.is_set():
            with self.engine.begin() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                self.process_one(connection, now)
            with self.progress:
                self.done += 1
                self.progress.notify_all()

    def process_one(self, connection: Connection, now: str) -> None:
        def run(statement: str, **named: object) -> list[object]:
            result = connection.execute(text(statement.format(now=now)), named)
            return list(result) if result.returns_rows else []

        (opened,) = run(OPEN, channel="loft")
        place = {"conversation": opened[0], "seq": opened[2]}  # type: ignore[index]  # a row
        run(TELL, **place, id=uuid.uuid4().hex)
        assert run(LOOK, conversation=place["conversation"])
        run(SETTLE, **place)
        run(PLACE, channel="loft")
        run(HOLD, channel="loft")

    def wait_for_progress(self) -> None:
        """Waits until three more messages are processed."""
        with self.progress:
            aim = self.done + 3
            assert self.progress.wait_for(lambda: self.done >= aim, timeout=20)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_old_code_keeps_working_during_and_after_migration(old_url: str, aside: ThreadPoolExecutor) -> None:
    old = OldCode(old_url)
    work = aside.submit(old.work)
    try:
        old.wait_for_progress()
        upgrade(old_url)
        assert schema_status(old_url) is SchemaStatus.CURRENT
        old.wait_for_progress()
    finally:
        old.stopped.set()
    work.result()
    old.engine.dispose()
    check_turns_of_old_code(old_url, old.done)


def check_turns_of_old_code(url: str, count: int) -> None:
    store = SqlStore(url)
    claim = claim_one(store)
    assert len(store.transcript(claim.conversation.id)) == count
    store.apply_writes([answer(claim), finish(claim)])
    store.close()


def test_migration_waiting_for_a_long_transaction_blocks_nobody(
    old_server: str, aside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.02)
    monkeypatch.setattr(migrations, "PAUSE_SECONDS", 0.05)
    old = OldCode(old_server)
    work = aside.submit(old.work)
    try:
        with psycopg.connect(old_server.replace("+psycopg", "")) as backup:
            backup.execute("SELECT count(*) FROM turns, conversations, limits, leases")
            change = aside.submit(upgrade, old_server)
            for _ in range(3):
                old.wait_for_progress()
            assert is_running(change)
        change.result(timeout=30)
    finally:
        old.stopped.set()
    work.result()
    old.engine.dispose()
    assert schema_status(old_server) is SchemaStatus.CURRENT


def is_running(work: Future[None]) -> bool:
    return bool(wait([work], timeout=0.0).not_done)


def test_migration_gives_up_on_a_table_that_stays_locked(old_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.01)
    monkeypatch.setattr(migrations, "PATIENCE_SECONDS", 0.0)
    with psycopg.connect(old_server.replace("+psycopg", "")) as backup:
        backup.execute("SELECT count(*) FROM turns")
        with pytest.raises(StoreUnavailable, match="busy"):
            upgrade(old_server)
    assert schema_status(old_server) is SchemaStatus.BEHIND
    upgrade(old_server)
    assert schema_status(old_server) is SchemaStatus.CURRENT


TWO_ALIKE = """INSERT INTO turns
    (conversation_id, seq, id, platform, message_id, text, author, address, state, received_at)
    SELECT id, seq, seq, 'pigeon', seq, '', '', '{}', 'queued', 1 FROM conversations, generate_series(1, 2) AS seq"""


def test_interrupted_index_build_is_repeated(old_server: str) -> None:
    bring_to(old_server, "0003")
    broken = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid"
    with psycopg.connect(old_server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO conversations (platform, workspace, channel, topic, user_id, head, tail, epoch, created_at)"
            " VALUES ('pigeon', '', '', '', '', 0, 2, 0, 0)"
        )
        connection.execute(TWO_ALIKE)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY turns_received ON turns (received_at)")
        assert connection.execute(broken).fetchall() == [("turns_received",)]
        assert schema_status(old_server) is SchemaStatus.BEHIND
        upgrade(old_server)
        assert connection.execute(broken).fetchall() == []
        built = "SELECT indexdef FROM pg_indexes WHERE indexname IN ('turns_received', 'turns_failed')"
        definitions = sorted(row[0] for row in connection.execute(built))
    assert len(definitions) == 2
    assert not any("UNIQUE" in definition for definition in definitions)


SERVED = [
    pytest.param(revision, marks=() if revision in (REVISIONS[0], REVISIONS[-1]) else pytest.mark.slow)
    for revision in REVISIONS
]


class TestOlderCode:
    """Code of an older revision than the database."""

    @pytest.fixture
    def later(self, database_url: str) -> Iterator[str]:
        """Returns the URL of a database at a revision that this code does not know."""
        set_revision(database_url, "9999")
        yield database_url
        set_revision(database_url, REVISIONS[-1])
        self.say(database_url, None)

    def say(self, url: str, serves: str | None) -> None:
        database = Database(url)
        with database.transaction() as connection:
            connection.execute(text("DELETE FROM facts WHERE name = 'revision:9999'"))
            if serves is not None:
                fact = {"name": "revision:9999", "value": serves}
                connection.execute(text("INSERT INTO facts (name, value) VALUES (:name, :value)"), fact)
        database.close()

    @pytest.mark.parametrize("serves", SERVED)
    def test_starts_on_a_newer_compatible_revision(self, later: str, serves: str) -> None:
        self.say(later, serves)
        assert schema_status(later) is SchemaStatus.CURRENT
        upgrade(later)
        assert schema_status(later) is SchemaStatus.CURRENT

    @pytest.mark.parametrize("serves", ["9998", "9999", None])
    def test_is_refused_on_a_newer_incompatible_revision(self, later: str, serves: str | None) -> None:
        self.say(later, serves)
        assert schema_status(later) is SchemaStatus.AHEAD
        with pytest.raises(SettingsError, match="newer version"):
            upgrade(later)


def test_every_revision_records_the_oldest_compatible_code(old_url: str) -> None:
    upgrade(old_url)
    store = SqlStore(old_url)
    for revision in REVISIONS[2:]:
        assert store.get_value(f"revision:{revision}") == migrations.OLDEST_COMPATIBLE
    assert migrations.OLDEST_COMPATIBLE in REVISIONS
    store.close()
