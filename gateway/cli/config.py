"""``python -m gateway config``: what is in force, an example of ``gateway.toml``, and its schema."""

from __future__ import annotations

import json

import click

from gateway import logs
from gateway.config_file.schema import schema
from gateway.config_file.text import effective, example
from gateway.settings import config_file
from gateway.wiring import loading


def command() -> click.Command:
    """Returns the command ``config``."""

    @click.command("config")
    @click.option("--example", "shown", flag_value="example", help="Print a gateway.toml with everything, explained.")
    @click.option("--schema", "shown", flag_value="schema", help="Print the JSON Schema of gateway.toml, for editors.")
    def config(shown: str | None) -> None:
        """Print what is in force, as gateway.toml would say it, with secrets masked."""
        if shown == "example":
            click.echo(example(loading.settings_classes()), nl=False)
        elif shown == "schema":
            click.echo(_schema())
        else:
            _print_effective()

    return config


def _schema() -> str:
    made = schema(loading.settings_classes(), loading.platform_settings())
    return json.dumps(made, indent=2, ensure_ascii=False)


def _print_effective() -> None:
    settings = loading.load_settings(quiet=True)
    loaded = [each.load() for each in loading.settings_classes()]
    for line in effective(loaded, loading.load_configuration(settings), config_file()):
        click.echo(logs.mask(line))
