"""Commands for operators: ``turns``, ``turn``, ``retry``, ``forget``, ``export``."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import click
from rich.cells import cell_len, set_cell_size

from gateway import operations
from gateway.cli.actor import actor
from gateway.cli.person_options import PlatformNames, person_platform, person_user, require_platform
from gateway.cli.terminal import sanitized
from gateway.domain.approvals import Approval
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import TurnNotFound
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.domain.platform_events import Feedback
from gateway.operations import AdminStore, BackendThreads, ErasureResult, iso
from gateway.ports.audit_trail import AuditedAction
from gateway.ports.reporting import TurnFilter
from gateway.ports.store import Store

HEADINGS = ("RECEIVED", "STATE", "PLATFORM", "CHANNEL", "USER", "SECONDS", "TURN", "TEXT")
MAX_TEXT_CELLS, MAX_NAME_CELLS, MAX_DETAIL_CELLS = 60, 24, 300
"""Widest text, name and audit detail in a line of output."""
MILLIONTHS = 1_000_000
DURATION_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

OpenAdminStore = Callable[[], AbstractContextManager[AdminStore]]


class DurationParam(click.ParamType[float]):
    """Command line parameter that is a duration, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = DURATION_PATTERN.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a duration. Write 90s, 30m, 2h, 7d or 4w.", param, ctx)
        return float(found[1]) * SECONDS_PER_UNIT[found[2].lower()]


def commands(
    open_store: OpenAdminStore, backend_threads: BackendThreads, platforms: PlatformNames
) -> Sequence[click.Command]:
    """Returns the commands that read or change stored turns."""
    return (
        _turns_command(open_store, platforms),
        _turn_command(open_store),
        _retry_command(open_store, platforms),
        _forget_command(open_store, backend_threads, platforms),
        _export_command(open_store, platforms),
    )


# ---------------------------------------------------------------- turns

_platform_option = click.option("--platform", default="", metavar="NAME", help="Such as slack, telegram, http.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")


def _turns_command(open_store: OpenAdminStore, platforms: PlatformNames) -> click.Command:
    @click.command("turns")
    @click.option("--state", type=click.Choice([state.value for state in TurnState]), help="Only turns in this state.")
    @_platform_option
    @click.option("--user", default="", metavar="ID", help="Author of the message.")
    @click.option("--channel", default="", metavar="ID", help="Channel of the message; for http a thread_id.")
    @click.option("--assistant", default="", metavar="NAME", help="The assistant that was asked.")
    @click.option("--text", default="", help="Part of the message or the reply; case does not matter.")
    @click.option(
        "--since", type=DurationParam(), metavar="TIME", help="Received within this time: 90s, 30m, 2h, 7d, 4w."
    )
    @click.option(
        "--before", metavar="TURN", help="Only turns older than this one, such as the last of the list before."
    )
    @click.option(
        "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Largest number of turns."
    )
    @_json_option
    @click.pass_context
    def turns_command(ctx: click.Context, /, *, before: str | None, limit: int, as_json: bool, **filters: Any) -> None:
        """List turns, newest first. With --json, one object per line."""
        with open_store() as store:
            search = _search(store, **filters)
            last = None if before is None else _get_turn(store, before)
            found = store.find_turns(search, limit=limit + 1, before=last)
        _require_found(found, search.platform, platforms)
        turns = found[:limit]
        for line in map(operations.as_json, map(operations.turn_view, turns)) if as_json else _table(turns):
            click.echo(line)
        if len(found) > limit:
            click.echo(f"More turns: {_next_page_command(ctx, turns[-1])}", err=True)
        elif not found:
            click.echo("No turn matches.", err=True)

    return turns_command


def _search(
    store: AdminStore,
    *,
    state: str | None = None,
    platform: str = "",
    user: str = "",
    channel: str = "",
    text: str = "",
    assistant: str = "",
    since: float | None = None,
) -> TurnFilter:
    at = None if since is None else store.now() - since
    return TurnFilter(platform, channel, user, text, TurnState(state) if state else None, assistant, since=at)


def _require_found(found: Sequence[object], platform: str, platforms: PlatformNames) -> None:
    """Raises InputError if nothing was found because there is no such platform. There may be data of former ones."""
    if platform and not found:
        require_platform(platform, platforms)


def _get_turn(store: Store, turn_id: str) -> Turn:
    found = store.get_turn(TurnId(turn_id))
    if found is None:
        raise TurnNotFound(f"There is no turn {turn_id!r}.")
    return found


def _next_page_command(ctx: click.Context, last: Turn) -> str:
    """Returns the command line that lists the turns after the last one."""
    given = {name: value for name, value in ctx.params.items() if name not in ("before", "as_json") and value}
    since = given.pop("since", None)
    options = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    options += [] if since is None else ["--since", f"{since:g}s"]
    options += ["--json"] if ctx.params["as_json"] else []
    return gateway_command(shlex.join([str(ctx.info_name), *options, "--before", last.id]))


def _table(turns: Sequence[Turn]) -> Iterator[str]:
    """Yields lines with aligned columns; none without turns."""
    rows = [HEADINGS, *map(_row, turns)] if turns else []
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _row(turn: Turn) -> Sequence[str]:
    message, took = turn.message, "" if turn.answered_at is None else f"{turn.answered_at - turn.received_at:.1f}"
    names = (_truncated(name, MAX_NAME_CELLS) for name in (message.key.platform, message.key.channel, message.author))
    return (
        iso(turn.received_at),
        turn.state.value,
        *names,
        took,
        turn.id,
        _truncated(_one_line_text(turn), MAX_TEXT_CELLS),
    )


def _one_line_text(turn: Turn) -> str:
    if turn.erased_at is not None:
        return "(erased)"
    failure = f"[{turn.failure.code}] " if turn.failure else ""
    return failure + turn.message.own_text


def _truncated(text: str, cells: int) -> str:
    """Returns the text as one line of at most ``cells`` columns."""
    line = " ".join(sanitized(text).split())
    return line if cell_len(line) <= cells else f"{set_cell_size(line, cells - 1).rstrip()}…"


# ---------------------------------------------------------------- turn


def _turn_command(open_store: OpenAdminStore) -> click.Command:
    @click.command("turn")
    @click.argument("turn_id", metavar="ID")
    @_json_option
    def turn_command(turn_id: str, *, as_json: bool) -> None:
        """Show a turn: its message, its outcome, and when each step happened."""
        with open_store() as store:
            turn = _get_turn(store, turn_id)
            feedback = store.feedback_on(turn.id)
            held = store.approvals_of(turn.id) if turn.rounds else ()
        if as_json:
            ratings = [{"author": each.author, "value": each.value} for each in feedback]
            asked = [operations.approval_view(each) for each in held if each.is_question]
            shown = operations.turn_view(turn) | {"verdicts": ratings, "approvals": asked}
            click.echo(operations.as_json(shown, indent=2))
            return
        for line in (
            f"{turn.id}: {turn.state.value}",
            *_detail_lines(turn, feedback),
            "",
            *_timeline_lines(turn, held),
        ):
            click.echo(line)

    return turn_command


def _detail_lines(turn: Turn, feedback: Sequence[Feedback]) -> Iterator[str]:
    """Yields the lines of a turn's details, each with its label."""
    for name, value in _details(turn, feedback):
        first, *others = sanitized(value).splitlines() or [""]
        if value:
            yield f"  {name:<13}{first}".rstrip()
            yield from (f"{'':15}{line}".rstrip() for line in others)


def _details(turn: Turn, feedback: Sequence[Feedback]) -> Iterator[tuple[str, str]]:
    message, key, failure, usage = turn.message, turn.message.key, turn.failure, turn.usage
    parts = {"workspace": key.workspace, "channel": key.channel, "topic": key.topic, "person": key.user}
    yield "where", ", ".join([key.platform, *(f"{name} {part}" for name, part in parts.items() if part)])
    yield "conversation", f"{turn.conversation_id}, turn {turn.seq} of it"
    yield "user", message.author
    yield "waits for", operations.parking_text(turn)
    yield "erased", "" if turn.erased_at is None else iso(turn.erased_at)
    yield message.kind.value, message.text_with_attachments
    yield "reply", "\n".join([*([turn.reply] if turn.reply else []), *(f"[{file.name}]" for file in turn.reply_files)])
    yield "error", "" if failure is None else f"{failure.code}: {failure.detail or failure.user_message}"
    yield "attempts", str(turn.attempts)
    yield "run", turn.run_id or ""
    yield "model", turn.model
    yield "tokens", f"{usage.tokens_in} in, {usage.tokens_out} out" if usage.tokens_in or usage.tokens_out else ""
    yield "cost", _cost_text(turn)
    yield "at platform", ", ".join(turn.posted_messages)
    yield "verdicts", ", ".join(f"{verdict.value} by {verdict.author}" for verdict in feedback)


def _timeline_lines(turn: Turn, approvals: Sequence[Approval]) -> Iterator[str]:
    for number, moment in enumerate(operations.timeline(turn, approvals)):
        after = f"+{moment.after:.3f} s" if number else ""
        between = " " if moment.what.endswith((" by", " as")) else ": "
        told = between.join(part for part in (moment.what, _truncated(moment.detail, MAX_DETAIL_CELLS)) if part)
        yield f"  {iso(moment.at)} {after:>12}  {told}"


# ---------------------------------------------------------------- retry


def _retry_command(open_store: OpenAdminStore, platforms: PlatformNames) -> click.Command:
    @click.command("retry")
    @click.argument("turn_id", metavar="[ID]", required=False)
    @click.option("--failed", is_flag=True, help="All failed turns.")
    @click.option(
        "--since", type=DurationParam(), metavar="TIME", help="With --failed: only turns received within this time."
    )
    @_platform_option
    @_yes_option
    def retry_command(turn_id: str | None, platform: str, since: float | None, *, failed: bool, yes: bool) -> None:
        """Retry a failed or cancelled turn, or all failed ones. Retries queue last in their conversation."""
        if failed is (turn_id is not None):
            raise click.UsageError("Give either the ID of a turn, or --failed.")
        if not failed and (since is not None or platform):
            raise click.UsageError("--since and --platform can only be used with --failed.")
        with open_store() as store:
            if turn_id is not None:
                again = operations.retry_turn(store, TurnId(turn_id))
                store.audit_trail.record(actor(), AuditedAction.TURN_RETRIED, turn_id, again)
                click.echo(f"{turn_id} is retried as {again}.")
            else:
                search = _search(store, state="failed", platform=platform, since=since)
                turns = operations.failed_turns(store, search)
                _require_found(turns, platform, platforms)
                _retry_all(store, turns, yes=yes)

    return retry_command


def _retry_all(store: AdminStore, turns: Sequence[TurnId], *, yes: bool) -> None:
    if not turns:
        click.echo("No failed turn to retry.")
        return
    if not yes:
        click.confirm(f"Retry {_counted(len(turns), 'turn')}?", abort=True)
    refused = operations.retry_all(store, turns)
    for turn in turns:
        if turn not in refused:
            store.audit_trail.record(actor(), AuditedAction.TURN_RETRIED, turn)
    click.echo(f"Retried: {len(turns) - len(refused)}.")
    for reason in refused.values():
        click.echo(f"Not retried: {reason}", err=True)


# ---------------------------------------------------------------- a person's data


def _forget_command(
    open_store: OpenAdminStore, backend_threads: BackendThreads, platforms: PlatformNames
) -> click.Command:
    @click.command("forget")
    @person_platform
    @person_user
    @click.option("--leave-threads", is_flag=True, help="Delete nothing at the backend, for one that no longer exists.")
    @_yes_option
    def forget_command(platform: str, user: str, *, leave_threads: bool, yes: bool) -> None:
        """Delete a person's messages and their replies, here and at the backend.

        Conversations with nobody else are deleted; in shared ones the person's messages and replies are erased.
        Updates of the platform that could not be parsed are deleted if they contain the person's id. Exit
        status 1 if threads could not be deleted at the backend: their data is kept here, so that you can run it again.
        """
        with open_store() as store:
            conversations = store.conversations_of(platform, user)
            updates = store.unparsed_updates.by_author(platform, user)
            _require_found((*conversations, *updates), platform, platforms)
            if (conversations or updates) and not yes:
                what = f"messages and replies of {user} in {_counted(len(conversations), 'conversation')} on {platform}"
                what += f", and {_counted(len(updates), 'update')} that could not be parsed" if updates else ""
                click.confirm(f"Permanently delete {what}?", abort=True)
            result = operations.erase_person(store, None if leave_threads else backend_threads, platform, user)
            done = f"{_counted(result.turns, 'turn')}, {_counted(len(result.not_deleted), 'thread')} left"
            store.audit_trail.record(actor(), AuditedAction.PERSON_FORGOTTEN, f"{platform}:{user}", done)
        _print_erasure(result)

    return forget_command


def _print_erasure(result: ErasureResult) -> None:
    here, there = _counted(result.conversations, "conversation"), _counted(result.threads, "thread")
    click.echo(f"Deleted: {here} here, {there} at the backend.")
    shared = f", in {_counted(result.shared, 'conversation')} with others" if result.shared else ""
    click.echo(f"Erased: {_counted(result.turns, 'turn')} in all{shared}.")
    if result.unparsed_updates:
        click.echo(f"Deleted: {_counted(result.unparsed_updates, 'update')} that could not be parsed.")
    if result.abandoned:
        click.echo(f"Not deleted at the backend, and no longer known here: {', '.join(result.abandoned)}.", err=True)
    for conversation, reason in result.not_deleted:
        thread = f"{conversation.thread_id or 'no thread'} of conversation {conversation.id}"
        click.echo(sanitized(f"Not deleted: {thread}: {reason}."), err=True)
    if result.not_deleted:
        raise click.ClickException(
            f"{_counted(len(result.not_deleted), 'thread')} not deleted at the backend. Run this again later."
        )


def _export_command(open_store: OpenAdminStore, platforms: PlatformNames) -> click.Command:
    @click.command("export")
    @person_platform
    @person_user
    @click.option("--output", default="-", metavar="FILE", help="File to write; default: standard output.")
    def export_command(platform: str, user: str, output: str) -> None:
        """Write all stored data of a person, as JSON."""
        try:
            with _open_output(output) as file, open_store() as store:
                found = (*store.conversations_of(platform, user), *store.unparsed_updates.by_author(platform, user))
                _require_found(found, platform, platforms)
                for piece in operations.export(store, platform, user):
                    file.write(piece.encode())
                store.audit_trail.record(actor(), AuditedAction.PERSON_EXPORTED, f"{platform}:{user}")
        except OSError as exc:
            raise click.ClickException(f"{output} cannot be written: {exc.strerror or exc}.") from exc

    return export_command


@contextmanager
def _open_output(output: str) -> Iterator[IO[bytes]]:
    """Opens a file that replaces the old one only when it is complete. Only its owner may read it."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    path = Path(output)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _cost_text(turn: Turn) -> str:
    """Returns the cost of a turn; empty if there is none."""
    estimated = " (estimate)" if turn.cost_is_estimate else ""
    return f"{turn.cost / MILLIONTHS:.6f}{estimated}" if turn.cost else ""
