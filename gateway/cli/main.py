"""The command line: ``python -m gateway serve | web | worker | chat | migrate | check``."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import click

from gateway import app, logs
from gateway.cli.check import check as run_checks
from gateway.cli.start_facts import example_request, start_facts
from gateway.cli.terminal import has_terminal
from gateway.cli.version import version
from gateway.configuration import CurrentConfiguration
from gateway.domain.errors import GatewayError
from gateway.process import adapt_gc, freeze_gc, open_standard_streams, stop_signals
from gateway.web import metrics_endpoint, server
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.wiring import loading
from gateway.wiring.loading import Loaded
from gateway.wiring.platforms import enabled_platforms
from gateway.wiring.running_gateway import Gateway
from storage import migrations

log = logs.get_logger(__name__)

OUTPUT_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Why what a command prints cannot be written where it was redirected to. Click ends for a reader that is gone."""


class OneLineErrorGroup(click.Group):
    """Command group that shows a GatewayError as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except GatewayError as exc:
            raise click.ClickException(logs.mask(str(exc))) from exc
        except OSError as exc:
            if exc.errno not in OUTPUT_LOST:
                raise
            raise click.ClickException(f"The output cannot be written: {exc.strerror}.") from exc


class GatewayCommands(OneLineErrorGroup):
    """The commands of this module, and those of ``gateway.cli.commands``, which are imported when one is needed.

    A server does without their modules: 3 MB.
    """

    @cached_property
    def _operators_commands(self) -> Mapping[str, click.Command]:
        from gateway.cli.commands import commands  # noqa: PLC0415  # see above

        return {command.name or "": command for command in commands()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._operators_commands.get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._operators_commands})


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  # click's form
    if value and not ctx.resilient_parsing:
        click.echo(f"chat-gateway {version()}")
        ctx.exit()


@click.group(cls=GatewayCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def main() -> None:
    """One assistant in all your chats."""
    open_standard_streams()


@main.command()
def serve() -> None:
    """Web server and worker in one process: enough for one machine."""
    _run_server(start_receiving=True)


@main.command()
def web() -> None:
    """Web server and worker, one of several processes over one PostgreSQL. Does not poll platforms: see worker."""
    _run_server(start_receiving=False)


@main.command()
def worker() -> None:
    """Worker only: polls platforms that do not call a webhook, and answers messages that any process accepted."""
    loaded = loading.load_all()
    settings = loaded.core
    stops = stop_signals(("SIGTERM", "SIGINT", *(("SIGHUP",) if _reloads_on_hangup(loaded) else ())))
    gateway = _open_gateway(loaded)
    reload = _prepare_reload(loaded, gateway)
    gateway.listen()
    exposed = loaded.load(MetricsSettings)
    metrics = (
        metrics_endpoint.serve(gateway.metrics, exposed.metrics_port, exposed.token) if exposed.metrics_port else None
    )
    freeze_gc()
    click.echo(f"Worker started with {gateway.description}.")
    while stops.wait().name == "SIGHUP":
        reload()
    gateway.drain(settings.grace_seconds)
    gateway.close(settings.grace_seconds)
    if metrics is not None:
        metrics.close()


@main.command()
def migrate() -> None:
    """Migrate the database to the current schema."""
    migrations.upgrade(loading.load_settings().database_url)
    click.echo("The database is up to date.")


@main.command()
def check() -> None:
    """Check everything that is configured. Exit status 1 if something fails."""
    all_ok = True
    for line in run_checks(*loading.load_valid_settings()):
        all_ok = all_ok and line.ok
        click.echo(logs.mask(f"{'ok  ' if line.ok else 'FAIL'} {line.name}: {line.detail}"))
    sys.exit(0 if all_ok else 1)


def _open_gateway(loaded: Loaded) -> Gateway:
    settings = loaded.core
    store = app.open_store(settings, migrate=migrations.upgrade_apart)
    current = CurrentConfiguration(loaded.configuration)
    adapters = enabled_platforms(settings, store, current, loaded.load)
    gateway = app.open_gateway(settings, adapters, store, current=current, load=loaded.load)
    gateway.worker.run_in_background(adapt_gc())
    return gateway


def _prepare_reload(loaded: Loaded, gateway: Gateway) -> Callable[[], object]:
    """Returns what takes up a changed file, if there is one."""
    if loaded.file is None:
        return lambda: None
    from gateway.cli.reload import prepare  # noqa: PLC0415  # not needed without a file

    return prepare(loaded, gateway)


def _reloads_on_hangup(loaded: Loaded) -> bool:
    """Returns whether SIGHUP means to reload. In a terminal it tells that this was closed."""
    return loaded.file is not None and not has_terminal()


def _run_server(*, start_receiving: bool) -> None:
    loaded = loading.load_all()
    settings = loaded.core

    opened: list[Gateway] = []
    reloads: list[Callable[[], object]] = []

    def reload() -> None:
        for each in reloads:
            each()

    def make_site() -> server.ServedApp:
        gateway = _open_gateway(loaded)
        reloads.append(_prepare_reload(loaded, gateway))
        if start_receiving:
            gateway.listen()
        opened.append(gateway)
        for warning in loading.start_warnings(settings, loaded.load):
            log.warning(warning)
        return server.ServedApp(gateway.web(), gateway.worker.run_coroutine, gateway.drain, gateway.close)

    server.serve(
        make_site,
        host=settings.host,
        port=settings.port,
        grace_seconds=settings.grace_seconds,
        behind_proxy=loaded.is_behind_proxy,
        on_ready=lambda url: _print_startup(url, opened[0]),
        on_hangup=reload if _reloads_on_hangup(loaded) else None,
    )


def _print_startup(url: str, gateway: Gateway) -> None:
    facts = start_facts(gateway.load, [adapter.name for adapter in gateway.adapters], gateway.store.location, url)
    lines = [
        f"Listening on {url} with {gateway.description}.",
        *(f"  {fact.name:<10} {fact.detail}" for fact in facts),
        f"  {'try':<10} {example_request(gateway.load, url)}",
    ]
    try:
        click.echo("\n".join(lines))  # at once: a program that reads may close its end
    except OSError as exc:  # the gateway runs, whether or not somebody is told
        log.warning("the lines of the start cannot be printed", error=exc.strerror)
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # else the interpreter tries once more at its end
