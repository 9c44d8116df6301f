"""Commands for operators: their output, prompts, changes and exit status."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import logs
from gateway.cli import turns as operator_commands
from gateway.cli.main import OneLineErrorGroup
from gateway.domain.approvals import Decision
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import TurnState
from gateway.domain.platform_events import Feedback
from gateway.operations import BackendThreads
from gateway.ports.leased_writes import SetPostedMessages
from storage.store import SqlStore
from storage.tables.schema import turns
from tests.contracts.reporting_helpers import answered_turn, enqueue_and_claim, enqueue_message, failed_turn
from tests.contracts.store_approvals import hold
from tests.contracts.store_helpers import PLATFORM, answer, finish, get_turn
from tests.gateway.operations_harness import UndeletableThreadAssistant

RunCommand = Callable[..., Result]


@pytest.fixture
def books(sqlite_url: str) -> Iterator[SqlStore]:
    books = SqlStore(sqlite_url)
    yield books
    books.close()


@pytest.fixture
def assistant() -> UndeletableThreadAssistant:
    return UndeletableThreadAssistant()


@pytest.fixture
def run(books: SqlStore, assistant: UndeletableThreadAssistant) -> RunCommand:
    """Returns a function that runs a command."""

    def run_command(*args: str, input: str = "") -> Result:  # noqa: A002  # as click calls it
        return invoke(lambda: nullcontext(books), assistant, *args, typed=input)

    return run_command


def invoke(
    open_store: Callable[[], AbstractContextManager[SqlStore]],
    assistant: UndeletableThreadAssistant,
    *args: str,
    typed: str = "",
    platforms: Sequence[str] = (PLATFORM,),
) -> Result:
    commands = operator_commands.commands(
        open_store, BackendThreads(lambda _: assistant, asyncio.run), lambda: platforms
    )
    program = OneLineErrorGroup(commands={command.name or "": command for command in commands})
    return CliRunner().invoke(program, args, input=typed)


# ---------------------------------------------------------------- turns


def test_turns_stand_in_columns_the_newest_first(run: RunCommand, books: SqlStore) -> None:
    first = answered_turn(books, "loft", "How many 🕊🕊 are\nthere?")
    second = failed_turn(books, "roof", "x" * 100, author="Ωμέγα")
    result = run("turns")
    heading, *lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert heading.split() == list(operator_commands.HEADINGS)
    assert [line[heading.index("TURN") :].split()[0] for line in lines] == [second.id, first.id]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  failed ", lines[0])
    assert lines[0].endswith("[timed_out] " + "x" * 47 + "…")
    assert lines[1].endswith("How many 🕊🕊 are there? [attached: roof.png]")
    assert "\x1b" not in result.output


def test_turns_are_narrowed_down(run: RunCommand, books: SqlStore) -> None:
    answered_turn(books, "loft", "grain")
    failed = failed_turn(books, "roof", "water", author="Bob")
    enqueue_message(books, "owl", "mice", platform="owl")
    narrowed = [
        ("--state", "failed"),
        ("--user", "Bob"),
        ("--channel", "roof"),
        ("--text", "WATER"),
        ("--platform", PLATFORM, "--state", "failed", "--since", "2h"),
    ]
    for options in narrowed:
        (line,) = run("turns", "--json", *options).stdout.splitlines()
        assert json.loads(line)["turn_id"] == failed.id
    assert run("turns", "--text", "nothing").stderr == "No turn matches.\n"


def test_since_goes_by_the_clock_of_the_database(run: RunCommand, books: SqlStore) -> None:
    old, new = answered_turn(books), answered_turn(books)
    with books._database.transaction() as connection:
        connection.execute(turns.update().where(turns.c.id == old.id).values(received_at=books.now() - 120))
    assert run("turns", "--since", "1m").stdout.count(PLATFORM) == 1
    assert new.id in run("turns", "--since", "60s").stdout
    assert run("turns", "--since", "0.1h").stdout.count(PLATFORM) == 2


@pytest.mark.parametrize("span", ["", "2", "h", "-2h", "2y", "two"])
def test_a_length_of_time_is_a_number_with_a_unit(run: RunCommand, span: str) -> None:
    result = run("turns", "--since", span)
    assert result.exit_code == 2
    assert "Write 90s, 30m, 2h, 7d or 4w" in result.output


def test_a_list_that_is_too_long_says_how_to_go_on(run: RunCommand, books: SqlStore) -> None:
    told = [answered_turn(books, f"{number}", author="Ada Lovelace") for number in range(3)]
    listed = run("turns", "--limit", "2", "--user", "Ada Lovelace", "--since", "2h")
    command = listed.stderr.removeprefix(f"More turns: {gateway_command('')}").strip()
    assert command == f"turns --limit 2 --user 'Ada Lovelace' --since 7200s --before {told[1].id}"
    rest = run("turns", "--limit", "2", "--user", "Ada Lovelace", "--before", told[1].id)
    assert (rest.stdout.count(PLATFORM), rest.stderr) == (1, "")
    assert told[0].id in rest.stdout


def test_nothing_that_people_write_reaches_the_terminal_as_a_command(run: RunCommand, books: SqlStore) -> None:
    turn = answered_turn(books, "loft", "\x1b[2Jgone\x9b1m\r!", "\x1b]0;title\x07", author="\x1b[31mAda")
    for arguments in (("turns",), ("turns", "--json"), ("turn", turn.id), ("turn", turn.id, "--json")):
        told = run(*arguments).output
        assert not set(told) & {"\x1b", "\x9b", "\r", "\x07"}
        assert "gone" in told


# ---------------------------------------------------------------- turn


def test_a_turn_is_a_timeline_with_everything_that_is_known(run: RunCommand, books: SqlStore) -> None:
    claim = enqueue_and_claim(books, "loft", "How many?\nReally?", user="Ada")
    books.apply_writes([answer(claim, "Two.")])
    books.apply_writes([SetPostedMessages(claim.lease, claim.turn, ("1.1", "1.2")), finish(claim)])
    books.record_feedback(Feedback(claim.turn.id, "Bob", "good"))
    result = run("turn", claim.turn.id)
    assert result.exit_code == 0
    told = result.stdout
    for line in (
        f"{claim.turn.id}: delivered",
        "  where        pigeon, workspace workspace, channel loft, topic topic, person Ada",
        "  ask          How many?",
        "               Really?",
        "  reply        Two.",
        "  tokens       3 in, 4 out",
        "  at platform  1.1, 1.2",
        "  verdicts     good by Bob",
    ):
        assert line in told.splitlines()
    first, *_, last = told.rpartition("\n\n")[2].splitlines()
    assert first.split()[1] == "received"
    assert re.fullmatch(r"  \S+Z +\+\d\.\d{3} s  delivered as 1\.1, 1\.2", last)
    assert re.search(r"\+\d\.\d{3} s  claimed by one", told)


def test_a_failed_turn_tells_why_without_a_secret(
    run: RunCommand, books: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs._masker, "apply", lambda text: text.replace("600 s", "***"))
    turn = failed_turn(books)
    told = run("turn", turn.id).stdout
    assert "  error        timed_out: after ***" in told.splitlines()
    seen = json.loads(run("turn", turn.id, "--json").stdout)
    assert seen["error"] == {"code": "timed_out", "message": "It took too long.", "detail": "after ***"}
    assert (seen["turn_id"], seen["verdicts"], seen["cost"]) == (turn.id, [], 0)


def test_a_turn_tells_what_people_approved(run: RunCommand, books: SqlStore) -> None:
    claim, (asked, _) = hold(books, enqueue_and_claim(books))
    books.decide(asked.id, Decision.APPROVED, "slack:U1", "Ann")
    told = run("turn", claim.turn.id).stdout
    assert re.search(r"  approval asked: refund\n.*  approved by Ann: refund\n", told)
    (seen,) = json.loads(run("turn", claim.turn.id, "--json").stdout)["approvals"]
    assert (seen["tool"], seen["arguments"], seen["decision"]) == ("refund", '{"order": 1}', "approved")
    assert (seen["approvers"], seen["decided_by"], seen["begun_at"]) == (["asker"], "slack:U1", None)


def test_a_turn_that_was_tried_again_names_the_other(run: RunCommand, books: SqlStore) -> None:
    turn = failed_turn(books)
    again = run("retry", turn.id).stdout.rstrip(".\n").split()[-1]
    assert f"retried as {again}" in run("turn", turn.id).stdout
    assert f"retry of {turn.id}" in run("turn", again).stdout


def test_an_erased_turn_says_so(run: RunCommand, books: SqlStore) -> None:
    turn = answered_turn(books)
    conversation = books.get_conversation(turn.conversation_id)
    assert conversation is not None
    books.erase_author(conversation, "Ada")
    assert run("turns").stdout.splitlines()[1].endswith("(erased)")
    told = run("turn", turn.id)
    assert (told.exit_code, "  erased       2" in told.stdout) == (0, True)


def test_an_unknown_turn_is_an_error_in_one_line(run: RunCommand) -> None:
    for arguments in (("turn", "nothing"), ("retry", "nothing"), ("turns", "--before", "nothing")):
        result = run(*arguments)
        assert (result.exit_code, result.output) == (1, "Error: There is no turn 'nothing'.\n")


def test_a_database_that_is_away_is_an_error_in_one_line(assistant: UndeletableThreadAssistant) -> None:
    def open_books() -> AbstractContextManager[SqlStore]:
        raise StoreUnavailable

    result = invoke(open_books, assistant, "turns")
    assert (result.exit_code, result.output) == (1, "Error: The database cannot be reached. Try again later.\n")


# ---------------------------------------------------------------- retry


def test_one_turn_is_tried_again(run: RunCommand, books: SqlStore) -> None:
    turn = failed_turn(books)
    result = run("retry", turn.id)
    assert result.exit_code == 0
    (waiting,) = [each for each in books.transcript(turn.conversation_id) if each.state is TurnState.QUEUED]
    assert result.output == f"{turn.id} is retried as {waiting.id}.\n"
    assert run("retry", turn.id).exit_code == 1


def test_all_that_failed_are_tried_again_once_that_is_confirmed(run: RunCommand, books: SqlStore) -> None:
    told = [failed_turn(books, "loft"), failed_turn(books, "roof")]
    answered_turn(books, "done")
    asked = run("retry", "--failed", input="n\n")
    assert (asked.exit_code, "Retry 2 turns? [y/N]" in asked.output) == (1, True)
    assert len(books.transcript(told[0].conversation_id)) == 1
    assert "Retried: 2.\n" in run("retry", "--failed", "--since", "1h", input="y\n").output
    assert len(books.transcript(told[0].conversation_id)) == 2
    assert run("retry", "--failed").output == "No failed turn to retry.\n"


def test_a_retry_is_of_one_turn_or_of_all(run: RunCommand, books: SqlStore) -> None:
    turn = failed_turn(books)
    for arguments in ((), (turn.id, "--failed"), (turn.id, "--since", "1h"), (turn.id, "--platform", PLATFORM)):
        assert run("retry", *arguments, "--yes").exit_code == 2
    failed_turn(books, platform="owl")
    assert run("retry", "--failed", "--platform", "owl", "--yes").output == "Retried: 1.\n"


# ---------------------------------------------------------------- a person's data


def test_a_person_is_forgotten_once_that_is_confirmed(
    run: RunCommand, books: SqlStore, assistant: UndeletableThreadAssistant
) -> None:
    turn = answered_turn(books)
    answered_turn(books, "shared")
    answered_turn(books, "shared", author="Bob")
    asked = run("forget", "--platform", PLATFORM, "--user", "Ada", input="\n")
    assert "Permanently delete messages and replies of Ada in 2 conversations on pigeon? [y/N]" in asked.output
    assert (asked.exit_code, get_turn(books, turn)) == (1, turn)
    done = run("forget", "--platform", PLATFORM, "--user", "Ada", "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Deleted: 1 conversation here, 2 threads at the backend.",
        "Erased: 2 turns in all, in 1 conversation with others.",
    ]
    assert len(assistant.deleted) == 2


def test_what_is_left_at_the_backend_is_named_and_kept_here(
    run: RunCommand, books: SqlStore, assistant: UndeletableThreadAssistant
) -> None:
    turn = answered_turn(books)
    conversation = books.get_conversation(turn.conversation_id)
    assert conversation is not None
    assert conversation.thread_id is not None
    assistant.unreachable.add(conversation.thread_id)
    result = run("forget", "--platform", PLATFORM, "--user", "Ada", "--yes")
    assert result.exit_code == 1
    assert (
        f"Not deleted: {conversation.thread_id} of conversation {conversation.id}: the backend is unreachable."
        in result.stderr
    )
    assert result.stderr.endswith("Error: 1 thread not deleted at the backend. Run this again later.\n")
    assert get_turn(books, turn) == turn
    given_up = run("forget", "--platform", PLATFORM, "--user", "Ada", "--yes", "--leave-threads")
    assert (given_up.exit_code, assistant.deleted) == (0, [])
    assert f"no longer known here: {conversation.thread_id}." in given_up.stderr
    assert books.get_turn(turn.id) is None


@pytest.mark.parametrize("command", ["forget", "export"])
def test_nobodys_name_is_no_name(run: RunCommand, books: SqlStore, command: str) -> None:
    turn = answered_turn(books, author="")
    for arguments in (("--platform", PLATFORM), ("--platform", PLATFORM, "--user", " ")):
        assert run(command, *arguments).exit_code == 2
    assert get_turn(books, turn) == turn


@pytest.mark.parametrize(
    "args", [("turns",), ("retry", "--failed"), ("forget", "--user", "Ada"), ("export", "--user", "Ada")]
)
def test_a_platform_that_there_is_not_is_named(run: RunCommand, args: tuple[str, ...]) -> None:
    result = run(*args, "--platform", "slcak")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: There is no platform 'slcak'; write one of {PLATFORM}.\n"
    assert run(*args, "--platform", f"{PLATFORM}:sales").exit_code == 0


def test_what_a_platform_left_that_is_no_more_is_found(assistant: UndeletableThreadAssistant, books: SqlStore) -> None:
    answered_turn(books)
    result = invoke(lambda: nullcontext(books), assistant, "turns", "--platform", PLATFORM, platforms=())
    assert result.exit_code == 0


def test_a_person_is_handed_what_is_kept_of_them(run: RunCommand, books: SqlStore, tmp_path: Path) -> None:
    turn = answered_turn(books, text="Grüße 🕊")
    told = run("export", "--platform", PLATFORM, "--user", "Ada")
    assert told.exception is None
    assert json.loads(told.stdout)["turns"][0]["message"] == "Grüße 🕊"
    path = tmp_path / "ada.json"
    result = run("export", "--platform", PLATFORM, "--user", "Ada", "--output", str(path))
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(path.read_text(encoding="utf-8"))["turns"][0]["turn_id"] == turn.id


def test_a_file_that_cannot_be_written_is_an_error_in_one_line(run: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "ada.json"
    result = run("export", "--platform", PLATFORM, "--user", "Ada", "--output", str(path))
    assert (result.exit_code, result.output) == (1, f"Error: {path} cannot be written: No such file or directory.\n")


def test_an_export_that_breaks_off_leaves_the_file_as_it_was(
    run: RunCommand, books: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise StoreUnavailable

    path = tmp_path / "ada.json"
    path.write_text("before")
    monkeypatch.setattr(books, "feedback_by", break_off)
    assert run("export", "--platform", PLATFORM, "--user", "Ada", "--output", str(path)).exit_code == 1
    assert [(each.name, each.read_text()) for each in tmp_path.glob("*ada*")] == [("ada.json", "before")]
