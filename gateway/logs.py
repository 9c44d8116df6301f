"""Logging: writes our and libraries' entries to stderr, one line each, as text or JSON, with secrets masked."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, cast

from gateway.lean_imports import importing_without

with importing_without("rich"):  # structlog would load it, 4 MB, for tracebacks in colour that nothing here prints
    import structlog
    from structlog.typing import EventDict, FilteringBoundLogger

MASK = "***"
MIN_SECRET_CHARS = 6
"""Characters; a shorter secret would match parts of ordinary words."""

BEARER_TOKEN = re.compile(r"(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
SecretPattern = tuple[str, re.Pattern[str], str]
"""A hint, a pattern and its replacement. Only texts that contain the hint are searched, as that is far cheaper."""

SECRET_PATTERNS: Sequence[SecretPattern] = (
    ("sk-", re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}"), MASK),
    ("earer", BEARER_TOKEN, rf"\1{MASK}"),
    ("EARER", BEARER_TOKEN, rf"\1{MASK}"),
    ("://", re.compile(r"""(://[^\s"'/:@]{0,256}:)[^\s"']{1,256}@"""), rf"\1{MASK}@"),
)
"""Secrets that are masked although no setting holds them. Adapters add patterns for their platforms' tokens."""

WARNING_LOGGERS = ("openai", "httpx", "httpx2", "aiohttp", "asyncio", "werkzeug", "alembic", "sqlalchemy")
"""Libraries that log a lot below WARNING."""
ERROR_LOGGERS = ("psycopg", "uvicorn")
"""Libraries that warn of each step of a database outage, which we log once, and of each invalid request."""

COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
UNQUOTED_VALUE = re.compile(r"[^\s\"=]+")

KEEPS_LOGGERS = True
"""Whether the methods of a logger are looked up once, which is faster, and then ignore another configuration."""


def get_logger(name: str) -> FilteringBoundLogger:
    """Returns a module's logger: ``log = logs.get_logger(__name__)``. Calls below the level do not even format."""
    return cast("FilteringBoundLogger", _Logger(name))


class _Logger:
    """A logger that is made when it is first used, as modules have theirs before the configuration is known."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, level: str) -> Any:
        method = getattr(structlog.get_logger(self._name).bind(), level)
        if KEEPS_LOGGERS and structlog.is_configured():
            setattr(self, level, method)
        return method


def configure(
    level: str, log_format: Literal["text", "json"], secrets: Iterable[str], patterns: Iterable[SecretPattern] = ()
) -> None:
    """Sends the gateway's entries from ``level`` on and libraries' from WARNING on to stderr.

    ``secrets``, and what matches ``patterns``, are masked anywhere in an entry, such as in a nested value or in the
    text of an exception. Called once by ``loading.load_settings``, before anything is logged.
    """
    _masker.configure(secrets, patterns)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _show_to_tap,
            structlog.processors.format_exc_info,
            _LineRenderer(log_format, use_colours=log_format == "text" and sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_StderrLogger,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _StandardLoggingHandler)] + [
        _StandardLoggingHandler()
    ]
    for logger in (root, *map(logging.getLogger, WARNING_LOGGERS)):
        logger.setLevel(max(threshold, logging.WARNING))
    for name in ERROR_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


Tap = Callable[[str, str, Mapping[str, Any]], None]
"""Is given a logger's name, a level and the fields of an entry."""

_tap: Tap | None = None


def tap_turns(tap: Tap | None) -> None:
    """Has all entries that name a turn shown to ``tap`` as well, in the threads that write them; None: no more."""
    global _tap  # noqa: PLW0603  # loggers keep the processors that they began with
    _tap = tap


def note(logger: str, event: str, turn: str, **fields: object) -> None:
    """Shows an entry to the tap alone: for what happens too often to be written to the log."""
    if _tap is not None:
        _tap(logger, "debug", {"event": event, "turn": turn, **fields})


def bind_turn(turn: str) -> None:
    """Has all entries of the current task, and of those that it starts from now on, name this turn."""
    structlog.contextvars.bind_contextvars(turn=turn)


def bind_request(request: str) -> None:
    """Has all entries of the current task name the request that it answers."""
    structlog.contextvars.bind_contextvars(request=request)


def has_tap() -> bool:
    """Returns whether ``note`` does anything."""
    return _tap is not None


def _show_to_tap(logger: Any, level: str, entry: EventDict) -> EventDict:
    if _tap is not None and "turn" in entry:
        _tap(logger.name, level, entry)
    return entry


def mask_also(secrets: Iterable[str]) -> None:
    """Masks these secrets from now on, beside those given to ``configure``."""
    _masker.add(secrets)


def mask(text: str) -> str:
    """Returns the text with the secrets given to ``configure``, and whatever looks like one, replaced by ***."""
    return _masker.apply(text)


class _SecretMasker:
    """Masks secrets in every encoding in which a line may contain them."""

    def __init__(self) -> None:
        self._spellings: tuple[str, ...] = ()
        self._patterns: tuple[SecretPattern, ...] = tuple(SECRET_PATTERNS)

    def configure(self, secrets: Iterable[str], patterns: Iterable[SecretPattern] = ()) -> None:
        self._spellings = ()
        self.add(secrets)
        self._patterns = (*SECRET_PATTERNS, *patterns)

    def add(self, secrets: Iterable[str]) -> None:
        # Each line of a multi-line secret is also masked by itself: a traceback may indent lines.
        parts = {part for secret in secrets for part in (secret, *secret.splitlines())}
        spellings = {spelling for part in parts if len(part) >= MIN_SECRET_CHARS for spelling in _encodings_of(part)}
        self._spellings = tuple(sorted(spellings.union(self._spellings), key=len, reverse=True))

    def apply(self, text: str) -> str:
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASK)
        for hint, pattern, replacement in self._patterns:
            if hint in text:
                text = pattern.sub(replacement, text)
        return text


_masker = _SecretMasker()


def _encodings_of(secret: str) -> set[str]:
    """Returns a secret as it is, in JSON, in a repr, in either inside the other, as bytes and in a URL."""
    raw = secret.encode(errors="replace")
    inside = {secret, *_escaped_forms(secret), repr(raw)[2:-1], urllib.parse.quote(raw, safe="")}
    return inside | {spelling for once in inside for spelling in _escaped_forms(once)}


def _escaped_forms(text: str) -> set[str]:
    """Returns a text's escaped forms; two of repr, which escapes single quotes only beside double ones."""
    as_json = json.dumps(text)[1:-1], _escape_unprintable(json.dumps(text, ensure_ascii=False)[1:-1])
    return {*as_json, _escape_unprintable(text), repr(text)[1:-1], repr('"' + text)[2:-1]}


class _LineRenderer:
    """Renders an entry as one line. As text, an exception follows on lines of its own."""

    def __init__(self, log_format: Literal["text", "json"], *, use_colours: bool) -> None:
        self._render = _render_json if log_format == "json" else _render_text
        self._use_colours = use_colours

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
        line = _masker.apply(self._render(ordered))
        colour = COLOURS.get(ordered["level"]) if self._use_colours else None
        return f"{colour}{line}\x1b[0m" if colour else line


def _render_json(entry: Mapping[str, Any]) -> str:
    try:
        return json.dumps(entry, default=_safe_repr)
    except (TypeError, ValueError, RecursionError):  # keys that JSON does not allow, or a value that contains itself
        return json.dumps(
            {str(key): value if isinstance(value, str) else _safe_repr(value) for key, value in entry.items()}
        )


def _render_text(entry: Mapping[str, Any]) -> str:
    head = f"{entry['timestamp']} {entry['level']:<7} {entry['logger']}: {_to_text(entry['event'])}"
    words = [f"{key}={_quote_if_needed(value)}" for key, value in entry.items() if key not in HEADER_FIELDS]
    trace = entry.get("exception")
    lines = [" ".join([head, *words]), *([] if trace is None else str(trace).splitlines())]
    return "\n".join(map(_escape_unprintable, lines))


HEADER_FIELDS = frozenset({"timestamp", "level", "logger", "event", "exception"})


def _quote_if_needed(value: object) -> str:
    word = _to_text(value)
    return word if UNQUOTED_VALUE.fullmatch(word) else json.dumps(word, ensure_ascii=False)


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else _safe_repr(value)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  # logging must not fail, whatever is logged
        return f"<{type(value).__name__}>"


def _escape_unprintable(text: str) -> str:
    """Escapes line breaks and terminal control characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _StderrLogger:
    """Writes lines to the current ``sys.stderr``, which may be replaced at any time."""

    _lock = threading.RLock()  # a signal may be logged while a line is being written

    def __init__(self, name: str = "") -> None:
        self.name = name

    def write(self, line: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # stderr is closed: not a reason to stop working
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = write


class _StandardLoggingHandler(logging.Handler):
    """Forwards entries of the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # noqa: BLE001  # a library's message that does not fit its arguments
            event = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL) or logging.DEBUG
        get_logger(record.name).log(level, event, exc_info=record.exc_info)
