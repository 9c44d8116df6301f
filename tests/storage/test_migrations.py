"""A database is migrated once, by whichever process comes first, and never downgraded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text

from gateway.domain.errors import SettingsError, StoreUnavailable
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import Message, MessageKind, TurnId
from gateway.ports.leased_writes import SetPostedMessages
from gateway.ports.token_buckets import Rate
from storage import migrations
from storage.connecting.database import Database
from storage.migrations import ADVISORY_LOCK, REVISIONS, SchemaStatus, is_current, schema_status, upgrade
from storage.store import SqlStore
from storage.tables.partial_indexes import build_partial_indexes
from storage.tables.schema import metadata
from storage.tables.turn_options import RoundsJson
from tests import postgres
from tests.contracts.store_helpers import answer, claim_one, enqueue, enqueue_one, finish, key, message, new_turn
from tests.faults.crashing_process import fork_context
from tests.storage.older_schema import bring_to

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Returns the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bare.db"
    return postgres.new_database(request.getfixturevalue("postgres_sockets"))


def set_revision(url: str, revision: str) -> None:
    database = Database(url)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    database.close()


def run(code: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Runs Python in another directory, where only an installed package is found."""
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"
    command: Sequence[str] = [sys.executable, "-W", "error", "-c", path, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_tables_are_those_of_the_schema(database_url: str) -> None:
    build_partial_indexes()
    database = Database(database_url)
    with database.read() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    database.close()


def test_every_constraint_of_the_schema_is_there(database_url: str) -> None:
    """Alembic's comparison ignores CHECK constraints."""
    database = Database(database_url)
    with pytest.raises(Exception, match="conversations_head"), database.transaction() as connection:
        connection.execute(text(BEYOND_ITS_TAIL))
    database.close()


BEYOND_ITS_TAIL = """INSERT INTO conversations
    (platform, workspace, channel, topic, user_id, head, tail, epoch, created_at)
    VALUES ('pigeon', '', '', '', '', 2, 1, 0, 0)"""


def test_listed_revisions_are_those_in_versions() -> None:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(REVISIONS)


def test_a_revision_imports_nothing_of_ours_as_it_must_do_the_same_in_years() -> None:
    revisions = (ROOT / "storage" / "migrations" / "versions").glob("*.py")
    of_ours = re.compile(r"^ *(?:from|import) (?:gateway|adapters|storage)\b", re.MULTILINE)
    assert [each.name for each in revisions if of_ours.search(each.read_text("utf-8"))] == []


def test_empty_database_is_migrated(bare_url: str) -> None:
    assert schema_status(bare_url) is SchemaStatus.BEHIND
    assert not is_current(bare_url)
    upgrade(bare_url)
    assert schema_status(bare_url) is SchemaStatus.CURRENT
    assert is_current(bare_url)
    store = SqlStore(bare_url)
    turn = enqueue(store).turn
    upgrade(bare_url)
    assert store.get_turn(turn.id) == turn
    store.close()


def test_status_check_creates_no_file(tmp_path: Path) -> None:
    assert not is_current(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_database_of_newer_version_is_not_changed(database_url: str) -> None:
    set_revision(database_url, "9999")
    assert schema_status(database_url) is SchemaStatus.AHEAD
    for look in (is_current, upgrade):
        with pytest.raises(SettingsError, match="newer version"):
            look(database_url)
    assert schema_status(database_url) is SchemaStatus.AHEAD
    set_revision(database_url, REVISIONS[-1])


def test_a_database_of_an_older_version_is_behind(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "REVISIONS", (*REVISIONS, "9999"))
    assert schema_status(database_url) is SchemaStatus.BEHIND


def test_existing_rows_are_read_with_defaults_after_migration(bare_url: str) -> None:
    bring_to(bare_url, "0001", OF_THE_FIRST_VERSION)
    assert schema_status(bare_url) is SchemaStatus.BEHIND
    upgrade(bare_url)
    store = SqlStore(bare_url)
    old = store.get_turn(TurnId("old"))
    assert old is not None
    assert old.message == Message(key(), "m1", "Hello", "Ada", {"roof": "left"})
    assert (old.message.kind, old.reply_files, old.posted_messages, old.reply) == (MessageKind.PROMPT, (), (), "Hi")
    claim = claim_one(store)
    assert (claim.turn.id, claim.turn.message.text, claim.conversation.thread_id) == ("waiting", "There?", "thread_1")
    store.apply_writes([SetPostedMessages(claim.lease, claim.turn, ("1.1",)), answer(claim), finish(claim)])
    assert [turn.posted_messages for turn in store.transcript(claim.conversation.id)] == [(), ("1.1",)]
    assert store.get_value("assistant") == "asst_1"
    store.close()


def test_rounds_of_calls_are_read_by_the_version_before_and_after(bare_url: str) -> None:
    asked = CallRound((RequestedCall("c", "look", "{}"),), "A moment.", 1.0)
    stored = RoundsJson.to_sql([replace(asked, returned="signature")])
    assert json.loads(stored or "")[0].keys() == {"calls", "text", "requested_at"}
    upgrade(bare_url)
    database = Database(bare_url)
    with database.transaction() as connection:
        for later in ("returned", "refusal"):
            connection.exec_driver_sql(f"ALTER TABLE turns DROP COLUMN {later}")
        for statement in OF_THE_FIRST_VERSION:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"UPDATE turns SET rounds = '{stored}' WHERE id = 'waiting'")
    database.close()
    set_revision(bare_url, "0025")
    assert schema_status(bare_url) is SchemaStatus.BEHIND
    upgrade(bare_url)
    store = SqlStore(bare_url)
    claim = claim_one(store)
    assert claim.turn.rounds == (asked,)
    store.close()


OF_THE_FIRST_VERSION = (
    """INSERT INTO conversations (platform, workspace, channel, topic, user_id, thread_id, backend, head, tail, next_at,
    epoch, created_at) VALUES ('pigeon', 'workspace', 'loft', 'topic', 'user', 'thread_1', 'threads', 1, 2, 1, 1, 1)""",
    """INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, reply,
    received_at) SELECT id, 1, 'old', 'pigeon', 'm1', 'Hello', 'Ada', '{"roof": "left"}', 'delivered', 'Hi', 1
    FROM conversations""",
    """INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, received_at)
    SELECT id, 2, 'waiting', 'pigeon', 'm2', 'There?', '', '{}', 'queued', 2 FROM conversations""",
    "INSERT INTO facts (name, value) VALUES ('assistant', 'asst_1')",
)


def test_database_of_earlier_version_names_the_migrate_command(bare_url: str) -> None:
    bring_to(bare_url, "0002")
    store = SqlStore(bare_url)
    for use in (
        lambda: enqueue_one(store, message(kind=MessageKind.STOP), new_turn()),
        lambda: store.get_turn(TurnId("old")),
        lambda: store.take_token("bucket", Rate(1.0), 0.0),
    ):
        with pytest.raises(StoreUnavailable, match="`migrate`"):
            use()
    store.close()


def test_many_processes_can_migrate_at_once_from_any_directory(bare_url: str, tmp_path: Path) -> None:
    processes = [fork_context.Process(target=upgrade_from, args=(tmp_path, bare_url)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(40)
    assert [process.exitcode for process in processes] == [0] * 2
    assert is_current(bare_url)


def upgrade_from(folder: Path, url: str) -> None:
    """Main function of a process."""
    os.chdir(folder)
    upgrade(url)


def test_second_migration_waits_for_the_first(bare_url: str) -> None:
    database = Database(bare_url)
    with ThreadPoolExecutor() as pool:
        with database.transaction() as connection:
            lock = select(func.pg_advisory_xact_lock(ADVISORY_LOCK)) if database.kind == "postgresql" else select(1)
            connection.execute(lock)
            other = pool.submit(upgrade, bare_url)
            assert wait([other], timeout=0.5).not_done
        other.result()
    assert is_current(bare_url)
    database.close()


def test_a_server_migrates_and_uses_a_current_database_without_importing_alembic(tmp_path: Path) -> None:
    code = (
        "from storage.migrations import is_current, upgrade, upgrade_apart; from storage.store import SqlStore; "
        "upgrade_apart(sys.argv[1]); assert is_current(sys.argv[1]); upgrade(sys.argv[1]); "
        "store = SqlStore(sys.argv[1]); store.ping(); store.close(); "
        "print([name for name in sys.modules if name.startswith('alembic')])"
    )
    process = run(code, "sqlite:///new.db", cwd=tmp_path)
    assert process.communicate(timeout=40)[0] == "[]\n"


@pytest.mark.parametrize("program", [f"{sys.prefix}/missing", ""])
def test_a_server_that_cannot_start_a_process_migrates_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    url = f"sqlite:///{tmp_path}/new.db"
    migrations.upgrade_apart(url)
    assert is_current(url)


def test_unreachable_server_is_reported(tmp_path: Path) -> None:
    url = f"postgresql://ada:hunter2@/gateway?host={tmp_path}"
    for look in (is_current, upgrade):
        with pytest.raises(StoreUnavailable):
            look(url)
