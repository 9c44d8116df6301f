"""``python -m gateway reload``, and what makes a process take up a changed file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import click

from gateway import logs
from gateway.cli.actor import actor
from gateway.domain.errors import StoreUnavailable
from gateway.ports.audit_trail import AuditedAction
from gateway.wiring import reloading
from gateway.wiring.loading import Loaded
from gateway.wiring.reloading import ReloadAnswer, Reloader, ReloadRequests
from gateway.wiring.running_gateway import Gateway
from storage.store import SqlStore

log = logs.get_logger(__name__)

NOBODY = (
    "No process has answered. Is one running with this database? One that was started without gateway.toml has to be "
    "restarted to read it."
)


def prepare(loaded: Loaded, gateway: Gateway) -> Callable[[], object]:
    """Lets a process take up changes when it is asked over the database. Returns what does so at once, and waits."""
    reloader = Reloader(loaded, gateway.assistants.replace)
    requests = ReloadRequests(gateway.store, reloader.reload, gateway.worker.owner)
    gateway.worker.run_in_background(requests.run())
    return lambda: _record(gateway, gateway.worker.run_coroutine(reloader.reload()))


def _record(gateway: Gateway, answer: ReloadAnswer) -> None:
    """Records that a signal made the process reload; the command records what it does itself."""
    owner = gateway.worker.owner
    try:
        gateway.store.audit_trail.record("signal", AuditedAction.CONFIGURATION_RELOADED, owner, _outcome(answer))
    except StoreUnavailable as exc:
        log.warning("reload not written to the audit trail", error=str(exc))


def _outcome(answer: ReloadAnswer) -> str:
    return f"{'reloaded' if answer.ok else 'refused'}: {', '.join(answer.lines) or 'nothing has changed'}"


def command(open_store: Callable[[], AbstractContextManager[SqlStore]]) -> click.Command:
    """Returns the command ``reload``."""

    @click.command("reload")
    def reload() -> None:
        """Make every process on the database read gateway.toml anew, without losing or restarting a turn.

        Exit status 1 if the file is faulty, or a process refuses it or does not answer.
        """
        answers = []
        with open_store() as store:
            for answer in reloading.ask_all(store, only_one=not store.is_shared):
                answers.append(answer)
                done = _outcome(answer)
                store.audit_trail.record(actor(), AuditedAction.CONFIGURATION_RELOADED, answer.process, done)
                click.echo(f"{answer.process}: {done}")
        if not answers:
            raise click.ClickException(NOBODY)
        sys.exit(0 if all(answer.ok for answer in answers) else 1)

    return reload
