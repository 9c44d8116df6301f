"""Takes up a changed ``gateway.toml`` in a running process: on SIGHUP, or because ``python -m gateway reload`` asks.

That command writes a row into the database, which every process with a file looks at each second, so all processes of
a cluster reload, each from its own file. Each answers with a row.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Protocol, cast

from adapters.http import HttpSettings
from gateway import logs
from gateway.config_file.assistants import SETTINGS
from gateway.configuration import Configuration
from gateway.coordination.retry import log_failure, repeat
from gateway.domain.errors import SettingsError
from gateway.settings import Settings, config_file, describe
from gateway.wiring import loading
from gateway.wiring.loading import Loaded

NEEDS_RESTART = "a change needs a restart."
POLL_SECONDS = 1.0
FIRST_ANSWER_SECONDS = 10.0
QUIET_SECONDS = 4.0
"""After the last answer: until then another process may look."""
REQUEST = "reload"
"""The name of the row with the id of the newest request; those of its answers end with their number."""
OF_ASSISTANTS = frozenset({*SETTINGS.values(), "openai_tools", "tools_path"})
"""Settings of the core that assistants are made from: a reload makes those anew that they change."""

log = logs.get_logger(__name__)


class Rows(Protocol):
    """The rows of the database that requests and answers are. Every method does I/O and may raise StoreUnavailable."""

    def get_value(self, name: str) -> str | None: ...

    def set_value(self, name: str, value: str) -> None: ...

    def set_value_if_absent(self, name: str, value: str) -> str: ...

    def delete_value(self, name: str) -> bool: ...


class Reloader:
    """Reloads the configuration of one process. Used on the worker's loop."""

    def __init__(self, loaded: Loaded, apply: Callable[[Configuration], None]) -> None:
        """``loaded``: what is in force. ``apply``: puts another one into force, or raises SettingsError."""
        self._loaded = loaded
        self._apply = apply
        self._lock = asyncio.Lock()

    async def reload(self) -> ReloadAnswer:
        """Reads everything anew and puts it into force. Logs the outcome.

        A faulty file is refused, and so is what needs a restart: then all stays as it was.
        """
        async with self._lock:
            try:
                found = await asyncio.to_thread(self._read)
                self._apply(found.configuration)
            except Exception as exc:  # noqa: BLE001  # the process goes on as it was
                log_failure("configuration not reloaded; the one before stays in force", exc, severe=True)
                return ReloadAnswer(ok=False, lines=tuple(str(exc).splitlines()))
            changed = tuple(changes(self._loaded.configuration, found.configuration))
            self._loaded = found
            log.info("configuration reloaded", changed=", ".join(changed) or "nothing")
            return ReloadAnswer(ok=True, lines=changed)

    def _read(self) -> Loaded:
        found = _read_at_rest()
        logs.mask_also(found.secrets())
        if needed := tuple(needs_restart(self._loaded, found)):
            raise SettingsError("\n".join(needed))
        return found


def _read_at_rest() -> Loaded:
    """Reads all settings. Raises SettingsError, also if the file was changed meanwhile, as by an editor that saves."""
    before, found, after = config_file(), loading.read_all(), config_file()
    if before is None or after is None or before.text != after.text:
        raise SettingsError("The file is not there any more, or was changed while it was read; reload again.")
    return found


def needs_restart(before: Loaded, after: Loaded) -> Iterator[str]:
    """Yields a line for each change that a running process cannot take up."""
    told: set[str] = set()
    for cls, old in before.settings.items():
        for name in cls.model_fields:
            is_live = cls is Settings and name in OF_ASSISTANTS
            if not is_live and name not in told and getattr(old, name) != getattr(after.settings[cls], name):
                told.add(name)
                yield describe(cls.names_of(name), NEEDS_RESTART)
    was, now = before.configuration, after.configuration
    fixed = {
        "bots": _made_at_start(was) != _made_at_start(now),
        "keys": has_keys(before) != has_keys(after),
    }
    for table, is_changed in fixed.items():
        if is_changed and after.file is not None:
            yield after.file.error((table,), NEEDS_RESTART)


def _made_at_start(configuration: Configuration) -> object:
    return [(bot.platform, bot.name, bot.settings) for bot in configuration.bots]


def has_keys(loaded: Loaded) -> bool:
    """Returns whether callers of ``/chat`` need a key: a reload neither opens nor closes it."""
    return bool(loaded.configuration.keys) or cast("HttpSettings", loaded.settings[HttpSettings]).keys != ()


def changes(before: Configuration, after: Configuration) -> Iterator[str]:
    """Yields each assistant and server that is new, changed or gone, and the names of other tables that are changed."""
    yield from _changes_of("assistants", before.assistants, after.assistants)
    yield from _changes_of("mcp", before.mcp_servers, after.mcp_servers)
    for table in ("routes", "bots", "keys"):
        if tuple(getattr(before, table)) != tuple(getattr(after, table)):
            yield table


def _changes_of(table: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            word = "new" if name not in old else "gone" if name not in new else "changed"
            yield f"{table}.{name} ({word})"


# ---------------------------------------------------------------- over the database


@dataclass(frozen=True, slots=True)
class ReloadAnswer:
    """What one process says to a request."""

    ok: bool
    lines: tuple[str, ...] = ()
    """What has changed, or why nothing has."""
    process: str = ""


class ReloadRequests:
    """Does what ``python -m gateway reload`` asks of this process."""

    def __init__(self, rows: Rows, reload: Callable[[], Awaitable[ReloadAnswer]], process: str) -> None:
        """``process``: the name that the answers bear."""
        self._rows = rows
        self._reload = reload
        self._process = process
        self._seen: str | None = None
        """The newest request; None before the first look."""

    async def run(self) -> None:
        """Looks for requests until it is cancelled."""
        await repeat(self.look, "requests to reload not read", partial(asyncio.sleep, POLL_SECONDS))

    async def look(self) -> None:
        """Reloads if that was asked since the last look, and answers. Raises StoreUnavailable.

        What was asked before the first look is no matter: the process has just read its file.
        """
        asked = await asyncio.to_thread(self._rows.get_value, REQUEST) or ""
        before, self._seen = self._seen, asked
        if asked and before not in (None, asked):
            answer = await self._reload()
            await asyncio.to_thread(self._write, asked, replace(answer, process=self._process))

    def _write(self, request: str, answer: ReloadAnswer) -> None:
        said = json.dumps(asdict(replace(answer, lines=tuple(map(logs.mask, answer.lines)))))
        number = 0
        while self._rows.set_value_if_absent(_answer_name(request, number), said) != said:
            number += 1


def ask_all(rows: Rows, *, only_one: bool, sleep: Callable[[float], None] = time.sleep) -> Iterator[ReloadAnswer]:
    """Asks every process on the database to reload; yields their answers as they come.

    ``only_one``: there is but one process. Raises StoreUnavailable.
    """
    _forget_answers(rows)
    request, number = secrets.token_hex(8), 0
    rows.set_value(REQUEST, request)
    left = FIRST_ANSWER_SECONDS
    while left > 0:
        if said := rows.get_value(_answer_name(request, number)):
            answer = json.loads(said)  # as ``ReloadAnswer`` was written
            yield ReloadAnswer(answer["ok"], tuple(answer["lines"]), answer["process"])
            number, left = number + 1, 0.0 if only_one else QUIET_SECONDS
        else:
            sleep(POLL_SECONDS / 4)
            left -= POLL_SECONDS / 4
    _forget_answers(rows)


def _forget_answers(rows: Rows) -> None:
    """Deletes the answers to the newest request."""
    request, number = rows.get_value(REQUEST), 0
    while request and rows.delete_value(_answer_name(request, number)):
        number += 1


def _answer_name(request: str, number: int) -> str:
    return f"{REQUEST} {request} {number}"
