"""``python -m gateway init``: asks for the assistant and the platforms, checks each answer, and writes ``.env``."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from dotenv import dotenv_values, set_key
from pydantic import SecretStr

from adapters.http import HttpSettings
from gateway import app, logs
from gateway.admin import AdminSettings
from gateway.assistants.api_client import AssistantApiClient, connect
from gateway.cli.check import check_assistant, check_platform
from gateway.configuration import Configuration, CurrentConfiguration
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import AssistantError, SettingsError
from gateway.ports.check import CheckResult
from gateway.settings import ENV_FILE, AnySettings, EnvironmentSettings, Settings, SetupGuide, environment_variables
from gateway.tools import ToolBox
from gateway.wiring import loading, platforms
from gateway.worker.worker import run_once
from storage.store import SqlStore

PRIVATE = 0o600
SHOWN_MODELS = 20

Answers = dict[str, str]
"""Values by field; an empty one unsets what stands in the file."""


@dataclass(frozen=True, slots=True)
class AssistantChoice:
    """An assistant to choose from."""

    title: str
    backend: str
    fields: tuple[str, ...] = ()
    """The settings to ask for, in this order."""
    optional: frozenset[str] = frozenset()


CHOICES = (
    AssistantChoice("OpenAI", "responses", ("openai_api_key", "openai_model"), frozenset({"openai_model"})),
    AssistantChoice(
        "Another server with OpenAI's API: Ollama, vLLM, llama.cpp, LM Studio, OpenRouter …",
        "chat",
        ("openai_base_url", "openai_api_key", "openai_model"),
        frozenset({"openai_api_key"}),
    ),
    AssistantChoice(
        "Azure OpenAI",
        "chat",
        ("azure_openai_endpoint", "azure_openai_api_key", "azure_openai_api_version", "openai_model"),
    ),
    AssistantChoice("None yet: an offline assistant says that it is one", "offline"),
)
CHOSEN_BY = {field for choice in CHOICES for field in choice.fields}
"""Those that another choice asks for are unset: they would choose another server."""


@click.command("init")
def command() -> None:
    """Set up the assistant and the platforms, step by step. Writes .env in this folder."""
    _configure_log()
    path = Path(ENV_FILE)
    EnvironmentSettings.load()  # names what is wrong in the file
    if path.exists():
        click.echo(f"{path} stays as it is, but for what you change here.\n")
    answers = _ask_assistant()
    for guide_of in _classes_with_guide():
        answers |= _ask_platform(*guide_of)
    answers |= _ask_access()
    write(path, {name.upper(): value for name, value in answers.items()})
    _tell_next(path, answers)


def write(path: Path, values: Mapping[str, str]) -> None:
    """Sets variables in the file, which is created for its owner alone. Empty values are removed. May raise OSError."""
    path.touch(PRIVATE)
    there = dotenv_values(path)
    for name, value in values.items():
        if value:
            set_key(path, name, value, quote_mode="auto", follow_symlinks=True)
        elif there.get(name):
            set_key(path, name, "", quote_mode="never", follow_symlinks=True)


def _configure_log() -> None:
    logs.configure(
        "ERROR", "text", (), [pattern for each in loading.settings_classes() for pattern in each.token_patterns]
    )


# ---------------------------------------------------------------- the assistant


def _ask_assistant() -> Answers:
    """Asks until the assistant answers, or the operator takes it as it is."""
    while True:
        click.echo("Which assistant?")
        for number, choice in enumerate(CHOICES, 1):
            click.echo(f"  {number}  {choice.title}")
        choice = CHOICES[click.prompt("Number", type=click.IntRange(1, len(CHOICES)), default=1) - 1]
        given: Answers = {"assistant_backend": choice.backend, **dict.fromkeys(CHOSEN_BY, "")}
        for field in choice.fields:
            if field == "openai_model":
                _show_models(given)
            given[field] = _ask(Settings, field, given, optional=field in choice.optional)
        if _accepts(partial(check_assistant, _load(Settings, given), ToolBox(()))):
            return given


def _show_models(given: Answers) -> None:
    """Lists the models of the server, if it tells."""

    async def list_models() -> Sequence[str]:
        client = connect(_load(Settings, given))
        try:
            answer = await AssistantApiClient(client).get("/models")
        finally:
            await client.close()
        return [str(model["id"]) for model in answer.get("data", ()) if isinstance(model, dict) and "id" in model]

    try:
        models = run_once(list_models())
    except (AssistantError, SettingsError) as exc:
        click.echo(f"  (the server does not list its models: {logs.mask(str(exc))})")
        return
    if models:
        more = f" and {len(models) - SHOWN_MODELS} more" if len(models) > SHOWN_MODELS else ""
        click.echo(f"  The server has: {', '.join(sorted(models)[:SHOWN_MODELS])}{more}.")


# ---------------------------------------------------------------- the platforms


def _classes_with_guide() -> Iterator[tuple[type[EnvironmentSettings], SetupGuide]]:
    for each in loading.settings_classes():
        if each.setup_guide is not None:
            yield each, each.setup_guide


def _ask_platform(cls: type[EnvironmentSettings], guide: SetupGuide) -> Answers:
    click.echo()
    is_set = any(getattr(cls.load(), field) for field in guide.fields)
    if not click.confirm(f"Set up {guide.title}{' anew' if is_set else ''}?", default=False):
        return {}
    click.echo(f"  {guide.steps}")
    while True:
        given: Answers = {}
        for field in guide.fields:
            given[field] = _ask(cls, field, given)
        if _accepts(partial(_check, guide.platform, _load(cls, given))):
            return given


def _check(platform: str, settings: EnvironmentSettings) -> Sequence[CheckResult]:
    """Checks one platform with these settings, beside a database of its own."""

    def load(cls: type[AnySettings]) -> AnySettings:
        return settings if isinstance(settings, cls) else cls.load()

    with _empty_store() as store:
        core = load(Settings)
        current = CurrentConfiguration(Configuration.of(core))
        adapter = platforms.platform_builders()[platform](core, store, load, current)
        return () if adapter is None else run_once(check_platform(adapter))


@contextmanager
def _empty_store() -> Iterator[SqlStore]:
    with TemporaryDirectory() as folder:
        address = f"sqlite:///{folder}/init.db"
        with closing(app.open_store(Settings.load(database_url=address))) as store:
            yield store


# ---------------------------------------------------------------- who may use it


def _ask_access() -> Answers:
    """Asks who may talk and who may look, and makes a key or a password for them."""
    answers: Answers = {}
    click.echo()
    if click.confirm("May everybody who reaches this machine's port talk to the assistant?", default=False):
        answers["gateway_api_keys"] = ""
    elif not HttpSettings.load().keys:
        answers["gateway_api_keys"] = secrets.token_urlsafe(24)
    if not AdminSettings.load().enabled and click.confirm("Switch on the operator's pages at /admin?", default=True):
        answers["admin_password"] = secrets.token_urlsafe(18)
    return answers


# ---------------------------------------------------------------- questions


def _ask(cls: type[EnvironmentSettings], field: str, given: Answers, *, optional: bool = False) -> str:
    """Asks for one setting until its form is right. Enter alone keeps what is set, or leaves an optional one out."""
    info = cls.model_fields[field]
    is_secret = _is_secret(info.annotation)
    present = _present(cls, field)
    hint = " (Enter: as it is)" if present else " (Enter: none)" if optional else ""
    default = "" if present or optional else None
    while True:
        prompt = f"{field.upper()}{hint}"
        text = click.prompt(prompt, default=default, hide_input=is_secret, show_default=False).strip() or present
        if "${" in text:  # dotenv files have no way to write it
            click.echo(
                f"  {field.upper()} contains ${{, which would be read as a variable; put it into the environment."
            )
            continue
        try:
            _load(cls, {**given, field: text})
        except SettingsError as exc:
            click.echo(f"  {exc}")
        else:
            return text


def _load(cls: type[AnySettings], given: Answers) -> AnySettings:
    """Returns the settings as they will be. Raises SettingsError."""
    return cls.load(**{field: value or None for field, value in given.items()})


def _present(cls: type[EnvironmentSettings], field: str) -> str:
    """Returns what is set now; empty when nothing is."""
    value = getattr(cls.load(), field)
    return "" if value is None else value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _is_secret(annotation: Any) -> bool:
    return "SecretStr" in str(annotation)


def _accepts(check: Callable[[], Sequence[CheckResult]]) -> bool:
    """Shows what a check found; asks whether to go on all the same where something fails."""
    click.echo("  Checking …")
    try:
        results = check()
    except SettingsError as exc:
        results = (CheckResult("settings", ok=False, detail=str(exc)),)
    for result in results:
        click.echo(logs.mask(f"  {'ok  ' if result.ok else 'FAIL'} {result.name}: {result.detail}"))
    return all(result.ok for result in results) or click.confirm("  Take it as it is?", default=False)


def _tell_next(path: Path, answers: Answers) -> None:
    click.echo(f"\nWritten to {path}, which only you can read.")
    for name in sorted({field.upper() for field, value in answers.items() if value} & environment_variables()):
        click.echo(f"{name} is set in the environment too, which wins over the file: unset it there.")
    if answers.get("gateway_api_keys"):
        click.echo("GATEWAY_API_KEYS there is the key that callers of /chat and visitors of the page need.")
    if answers.get("admin_password"):
        click.echo("ADMIN_PASSWORD there opens /admin.")
    click.echo(f"Start with: {gateway_command('serve')}")
