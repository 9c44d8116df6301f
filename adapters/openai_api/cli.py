"""Commands for threads of OpenAI's API: ``import-threads`` and ``assign-threads``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import click

from adapters.openai_api.ids import OBJECT_ID
from gateway.domain.errors import SettingsError
from gateway.json_text import decode_json
from gateway.ports.api_objects import ApiObject, ApiObjects

Item = Mapping[str, Any]
MESSAGE_OBJECT, THREAD_OBJECT = "thread.message", "thread"


class ObjectsOfKeys(NamedTuple):
    """What the commands work on."""

    objects: ApiObjects
    owners: Sequence[str]
    """The digest of each API key, in the order of GATEWAY_API_KEYS."""


OpenObjects = Callable[[], AbstractContextManager[ObjectsOfKeys]]

_key_option = click.option(
    "--key",
    type=click.IntRange(1),
    metavar="N",
    help="Whose they become: the N-th key of GATEWAY_API_KEYS. Needed if there are several.",
)


@dataclass
class ExportedThread:
    """A thread as a file has it."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    messages: list[Item] = field(default_factory=list)


def commands(open_objects: OpenObjects) -> Sequence[click.Command]:
    return (_import_command(open_objects), _assign_command(open_objects))


def _import_command(open_objects: OpenObjects) -> click.Command:
    @click.command("import-threads")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @_key_option
    def import_threads(file: Path, key: int | None) -> None:
        """Load threads that were exported from the Assistants API; they keep their ids.

        FILE has messages as the API returned them: JSON objects, one per line, lists of them, or threads with a field
        "messages". What was loaded before is not loaded again.
        """
        threads = read_threads(_text_of(file))
        count = 0
        with open_objects() as (objects, owners):
            owner = _owner(owners, key)
            for name, thread in threads.items():
                count += _load(objects, owner, name, thread)
        click.echo(f"Loaded. Threads: {len(threads)}, messages: {count}.")

    return import_threads


def _text_of(file: Path) -> str:
    """Raises SettingsError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{file} is not UTF-8 text. Save it as JSON in UTF-8.") from exc
    except OSError as exc:
        raise SettingsError(f"{file} cannot be read: {exc.strerror}.") from exc


def _assign_command(open_objects: OpenObjects) -> click.Command:
    @click.command("assign-threads")
    @_key_option
    def assign_threads(key: int | None) -> None:
        """Give threads and assistants to an API key that were made at /v1 while no keys were set."""
        with open_objects() as (objects, owners):
            owner = _owner(owners, key)
            if not owner:
                raise SettingsError("GATEWAY_API_KEYS is not set: everybody sees these threads already.")
            count = objects.assign_ownerless(owner)
        click.echo(f"Threads and assistants that belong to the key now: {count}.")

    return assign_threads


def _owner(owners: Sequence[str], key: int | None) -> str:
    """Returns the digest of the chosen key; "" without keys. Raises SettingsError."""
    if key is None and len(owners) <= 1:
        return owners[0] if owners else ""
    if not owners:
        raise SettingsError("GATEWAY_API_KEYS is not set, so there is no key that --key could name.")
    if key is None or key > len(owners):
        whose = "which key of GATEWAY_API_KEYS they are to belong to"
        raise SettingsError(f"--key must be a number from 1 to {len(owners)}, which says {whose}.")
    return owners[key - 1]


def read_threads(text: str) -> Mapping[str, ExportedThread]:
    """Returns the threads in an exported file, by id. Raises SettingsError."""
    threads: dict[str, ExportedThread] = {}
    for item in _items(text):
        _add(threads, item)
    for thread in threads.values():
        thread.messages.sort(key=lambda message: message.get("created_at", 0))
    return threads


def _items(text: str) -> Iterator[Item]:
    whole = _parsed(text)
    if whole is not None:
        yield from _flat(whole)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            value = _parsed(line)
            if value is None:
                raise SettingsError(f"Line {number} of the file is not JSON.")
            yield from _flat(value)


def _parsed(text: str) -> Any:
    """Returns the value of a JSON text; None if it is none."""
    try:
        return decode_json(text)
    except ValueError:
        return None


def _flat(value: Any) -> Iterator[Item]:
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, dict) and isinstance(value.get("data"), list):
        yield from _flat(value["data"])
    elif isinstance(value, dict):
        yield value
    else:
        raise SettingsError("The file holds something else than JSON objects.")


def _add(threads: dict[str, ExportedThread], item: Item) -> None:
    name = item.get("thread_id") if item.get("object", MESSAGE_OBJECT) == MESSAGE_OBJECT else item.get("id")
    name = name or item.get("id")
    if not isinstance(name, str) or not OBJECT_ID.fullmatch(name):
        raise SettingsError(f"An object of the file names no thread: {json.dumps(item)[:80]}")
    thread = threads.setdefault(name, ExportedThread())
    if "role" in item:
        thread.messages.append(item)
        return
    thread.metadata = item.get("metadata") or {}
    thread.created_at = float(item.get("created_at") or 0.0)
    for message in _flat(item.get("messages") or []):
        _add(threads, {**message, "thread_id": name, "object": MESSAGE_OBJECT})


def _load(objects: ApiObjects, owner: str, name: str, exported: ExportedThread) -> int:
    """Returns how many messages were added."""
    body = {"metadata": exported.metadata, "tool_resources": None}
    thread = ApiObject(name, THREAD_OBJECT, owner, body, created_at=exported.created_at)
    known = {row.id for row in objects.list_of_parent(name)}
    messages = [_message(owner, name, number, each) for number, each in enumerate(exported.messages)]
    new = [each for each in messages if each.id not in known]
    (kept,) = objects.add([thread])
    if kept.owner != owner:
        raise SettingsError(f"The thread {name} is another key's already.")
    if new:
        objects.add_messages(thread, new)
    return len(new)


def _message(owner: str, thread: str, number: int, item: Item) -> ApiObject:
    role = item["role"] if item["role"] in ("user", "assistant") else "user"
    body = {
        "role": role,
        "content": _content(item.get("content")),
        "attachments": item.get("attachments") or [],
        "metadata": item.get("metadata") or {},
        "run_id": item.get("run_id"),
        "assistant_id": item.get("assistant_id"),
    }
    name = item.get("id") or f"msg_{thread.removeprefix('thread_')}_{number}"
    created = float(item.get("created_at") or 0.0)
    return ApiObject(str(name), "message", owner, body, thread, created_at=created)


def _content(given: Any) -> Sequence[Item]:
    """Returns content as the API shows it; some exports have plain texts."""
    if isinstance(given, str):
        return [{"type": "text", "text": {"value": given, "annotations": []}}]
    parts = []
    for part in given if isinstance(given, list) else []:
        text = part.get("text") if part.get("type") == "text" else None
        parts.append({"type": "text", "text": {"value": text, "annotations": []}} if isinstance(text, str) else part)
    return parts
