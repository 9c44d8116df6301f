"""The table of all settings, generated from the settings classes: ``python -m gateway settings``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from gateway.settings import EnvironmentSettings

BEGIN = "<!-- settings:begin, written by `make settings` -->"
END = "<!-- settings:end -->"
BETWEEN_MARKERS = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
CODE = re.compile(r"``(.+?)``")
"""Docstrings mark code with two backquotes, Markdown with one."""
SENTENCE_END = re.compile(r"\.\s|\.$")


def settings_table(classes: Sequence[type[EnvironmentSettings]]) -> str:
    """Returns one Markdown table for each class, in the given order, under the first sentence of its docstring.

    A variable that several classes read is listed with the first one only.
    """
    listed: set[str] = set()
    return "\n".join(_group(cls, listed) for cls in classes)


def replace_table(text: str, table: str) -> str:
    """Returns the text with the table between the two marker comments. Raises ValueError when it has no markers."""
    replaced, found = BETWEEN_MARKERS.subn(lambda _: f"\n{table}\n", text)
    if not found:
        raise ValueError(f"no table to replace: put {BEGIN} and {END} on lines of their own")
    return replaced


def command(classes: Callable[[], Sequence[type[EnvironmentSettings]]]) -> click.Command:
    """Returns the command ``settings``, for the command line to add. ``classes``: returns all, once it is called."""

    @click.command("settings")
    @click.option(
        "--write",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Replace the table in this file instead of printing it.",
    )
    def settings(write: Path | None) -> None:
        """Print every setting with its default and meaning, as Markdown."""
        table = settings_table(classes())
        if write is None:
            click.echo(table, nl=False)
            return
        try:
            write.write_text(replace_table(write.read_text("utf-8"), table), "utf-8")
        except ValueError as exc:
            raise click.ClickException(f"{write}: {exc}.") from exc

    return settings


def _group(cls: type[EnvironmentSettings], listed: set[str]) -> str:
    title = SENTENCE_END.split(inspect.getdoc(cls) or cls.__name__)[0]
    rows = [_row(name, field) for name, field in cls.model_fields.items() if name not in listed]
    listed.update(cls.model_fields)
    return "\n".join([f"### {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    variables = " or ".join(f"`{variable.upper()}`" for variable in _variables(name, field))
    return f"| {variables} | {_cell(_default(field))} | {_cell(_meaning(field))} |"


def _variables(name: str, field: FieldInfo) -> Sequence[str]:
    """Returns the names under which a field is read from the environment; the preferred one comes first."""
    match field.validation_alias:
        case AliasChoices(choices=choices):
            return [str(choice) for choice in choices]
        case None:
            return [name]
        case alias:
            return [str(alias)]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == "" or SecretStr in _types(field.annotation):
        return ""
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`"


def _meaning(field: FieldInfo) -> str:
    text = CODE.sub(r"`\1`", " ".join((field.description or "").split()))
    literals = (each for each in _types(field.annotation) if get_origin(each) is Literal)
    choices = [f"`{choice}`" for each in literals for choice in get_args(each)]
    return f"{text} One of {', '.join(choices)}." if choices else text


def _types(annotation: Any) -> Iterator[Any]:
    """Yields an annotation and, if it is a union, its members."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for each in get_args(annotation):
            yield from _types(each)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
