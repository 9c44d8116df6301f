"""The log: one line per entry to stderr, as text or JSON, whoever writes it, and never a secret in it."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

MASK = "***"
LEAST_SECRET = 6
"""Characters; anything shorter would be found in half of all words."""

BEARER = re.compile(r"(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
SHAPES = (
    ("sk-", re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}"), MASK),
    ("xox", re.compile(r"(?<![A-Za-z0-9])xox[a-z]-[A-Za-z0-9-]{8,}"), MASK),
    ("xapp-", re.compile(r"(?<![A-Za-z0-9])xapp-[A-Za-z0-9-]{8,}"), MASK),
    (":", re.compile(r":(?<=[0-9]{5}:)[A-Za-z0-9_-]{30,}"), f":{MASK}"),
    ("earer", BEARER, rf"\1{MASK}"),
    ("EARER", BEARER, rf"\1{MASK}"),
    ("://", re.compile(r"""(://[^\s"'/:@]{0,256}:)[^\s"']{1,256}@"""), rf"\1{MASK}@"),
)
"""What a secret looks like that nobody told us: a string that every text with one has (which is far cheaper to look
for than a pattern), the pattern, and what to write instead."""

QUIET = ("openai", "httpx", "httpx2", "aiohttp", "asyncio", "gunicorn", "werkzeug", "alembic", "sqlalchemy")
"""Libraries that tell much below WARNING."""
QUIETER = ("psycopg",)
"""One that warns of each step of an outage, of which we tell once."""

COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
PLAIN = re.compile(r"[^\s\"=]+")

about = structlog.contextvars.bound_contextvars
"""``with about(turn=...):`` adds these to every entry inside, across awaits and into a tool's thread."""


def get(name: str) -> FilteringBoundLogger:
    """The log of a module: ``log = logs.get(__name__)``. A call below the level does nothing, not even formatting."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def configure(level: str, fmt: Literal["text", "json"], secrets: Iterable[str]) -> None:
    """Send what the gateway logs from ``level`` on, and what libraries log from WARNING on, to stderr.

    ``secrets`` are never written, wherever in an entry they turn up: in a nested value, in the text of an exception.
    To be called once, before anything is logged.
    """
    _masks.learn(secrets)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Lines(fmt, colours=fmt == "text" and sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Stderr,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _Bridge)] + [_Bridge()]
    for logger in (root, *map(logging.getLogger, QUIET)):
        logger.setLevel(max(threshold, logging.WARNING))
    for name in QUIETER:
        logging.getLogger(name).setLevel(logging.ERROR)


def mask(text: str) -> str:
    """The text without the secrets that ``configure`` was told, and without what looks like one."""
    return _masks.apply(text)


class _Masks:
    """The secrets, in every way that a line may spell them."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        # A secret of several lines is also masked line by line: a traceback may indent them.
        parts = {part for secret in secrets for part in (secret, *secret.splitlines())}
        spellings = {spelling for part in parts if len(part) >= LEAST_SECRET for spelling in _spellings(part)}
        self._spellings = tuple(sorted(spellings, key=len, reverse=True))

    def apply(self, text: str) -> str:
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASK)
        for sign, shape, instead in SHAPES:
            if sign in text:
                text = shape.sub(instead, text)
        return text


_masks = _Masks()


def _spellings(secret: str) -> set[str]:
    """How a secret looks as it is, in JSON, in a repr, in either of them inside the other, as bytes, and in a URL."""
    raw = secret.encode(errors="replace")
    inside = {secret, *_quoted(secret), repr(raw)[2:-1], urllib.parse.quote(raw, safe="")}
    return inside | {spelling for once in inside for spelling in _quoted(once)}


def _quoted(text: str) -> set[str]:
    """Python's repr escapes a single quote only beside a double one, so there are two of it."""
    return {json.dumps(text)[1:-1], _escaped(json.dumps(text, ensure_ascii=False)[1:-1]), _escaped(text),
            repr(text)[1:-1], repr('"' + text)[2:-1]}  # fmt: skip


class _Lines:
    """Makes an entry one line. Text shows an exception on lines of its own below it."""

    def __init__(self, fmt: Literal["text", "json"], *, colours: bool) -> None:
        self._format = _json if fmt == "json" else _text
        self._colours = colours

    def __call__(self, logger: Any, method: str, entry: EventDict) -> str:
        exception = entry.pop("exception", None)
        ordered = {
            "timestamp": entry.pop("timestamp", ""),
            "level": entry.pop("level", method),
            "logger": logger.name,
            "event": entry.pop("event", ""),
            **entry,
        }
        if exception is not None:
            ordered["exception"] = exception
        line = _masks.apply(self._format(ordered))
        colour = COLOURS.get(ordered["level"]) if self._colours else None
        return f"{colour}{line}\x1b[0m" if colour else line


def _json(entry: Mapping[str, Any]) -> str:
    try:
        return json.dumps(entry, default=_repr)
    except (TypeError, ValueError, RecursionError):  # keys that JSON does not know, or a value within itself
        return json.dumps({str(key): value if isinstance(value, str) else _repr(value) for key, value in entry.items()})


def _text(entry: Mapping[str, Any]) -> str:
    head = f"{entry['timestamp']} {entry['level']:<7} {entry['logger']}: {_escaped(_word(entry['event']))}"
    words = [head, *(f"{_escaped(key)}={_quote(value)}" for key, value in entry.items() if key not in HEAD)]
    trace = entry.get("exception")
    lines = [] if trace is None else map(_escaped, str(trace).splitlines())
    return "\n".join([" ".join(words), *lines])


HEAD = frozenset({"timestamp", "level", "logger", "event", "exception"})


def _quote(value: object) -> str:
    word = _word(value)
    return _escaped(word if PLAIN.fullmatch(word) else json.dumps(word, ensure_ascii=False))


def _word(value: object) -> str:
    return value if isinstance(value, str) else _repr(value)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  # whatever is logged, logging it must not fail
        return f"<{type(value).__name__}>"


def _escaped(text: str) -> str:
    """No line breaks, and nothing that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _Stderr:
    """Writes lines. Looks ``sys.stderr`` up each time: it may be replaced."""

    _lock = threading.RLock()  # a signal may be logged while a line is being written

    def __init__(self, name: str = "") -> None:
        self.name = name

    def write(self, line: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # nobody reads it any more: no reason to stop working
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = write


class _Bridge(logging.Handler):
    """Takes what libraries give to the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # noqa: BLE001  # a library's message that does not fit its arguments
            event = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL) or logging.DEBUG
        get(record.name).log(level, event, exc_info=record.exc_info)
