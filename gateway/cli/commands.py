"""The subcommands that need parts of a gateway: what each one opens, and closes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from adapters import console
from adapters.slack import manifest as slack_manifest
from adapters.telegram import cli as telegram_cli
from gateway import assistants
from gateway.app import TOOLS, load_settings, open_gateway, open_store, platforms
from gateway.cli import explain, turns
from gateway.cli.explain import Sight
from gateway.operations import Threads
from gateway.policy.rules import Rules
from gateway.ports.assistant import Assistant
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Adapter
from gateway.tools import ToolBox
from gateway.worker.worker import run_once
from storage.store import SqlStore


def commands() -> Sequence[click.Command]:
    """What rooms add to the command line."""
    return (
        console.command(_console),
        *turns.commands(_books, Threads(_assistant, run_once)),
        explain.command(_sight),
        slack_manifest.command(),
        telegram_cli.command(run_once),
    )


@contextmanager
def _console(adapter: Adapter) -> Iterator[tuple[Inbox, str]]:
    """A gateway for one person at this terminal."""
    settings = load_settings(quiet=True)
    gateway = open_gateway(settings, (adapter,), open_store(settings))
    try:
        yield gateway.inbox, gateway.assistant.description
    finally:
        gateway.close(settings.grace_seconds)


@contextmanager
def _books() -> Iterator[SqlStore]:
    store = open_store(load_settings(quiet=True))
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _sight() -> Iterator[Sight]:
    settings = load_settings(quiet=True)
    with _books() as store:
        yield Sight(
            adapters=platforms(settings, store),
            store=store,
            catalogue=store,
            ledger=store.ledger,
            rules=Rules.load(),
            backlog=settings.max_backlog,
            queue=settings.max_queue,
            queue_per_platform=settings.max_queue_per_platform,
        )


def _assistant() -> Assistant:
    """Only to be asked this or that: without tools."""
    return assistants.build(load_settings(quiet=True), ToolBox(TOOLS), assistants.NoFacts())
