"""The one table from Telegram's refusals, and from what breaks on the way, to our errors.

Sources: the library's ``telegram.error``, and for Telegram's texts the server (github.com/tdlib/telegram-bot-api,
telegram-bot-api/Client.cpp) and the library under it (github.com/tdlib/td, td/telegram).
"""

from __future__ import annotations

import datetime as dt
import re

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    PassportDecryptionError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from adapters.base.error_map import (
    DEFAULT_RETRY_AFTER,
    FILE_CONTENT,
    MAX_DETAIL,
    SOON,
    CallErrors,
    Handler,
    handler_for,
)
from adapters.base.errors import Rejected
from adapters.telegram.errors import Migrated, Reason
from gateway import logs
from gateway.domain.errors import DeliveryError

PLATFORM = "Telegram"
POSTS = re.compile(r"(?:send|forward|copy|create|answerguest)(?!.*(?:draft|chataction)$)")
"""Methods that do it twice when called twice. All others set something to a value, or only ask."""
QUOTED = re.compile(r"url '.*' is", re.IGNORECASE | re.DOTALL)
"""A URL that Telegram quotes from the text of a message."""

WORDS: tuple[tuple[str, Reason], ...] = (
    (r"replied (?:message )?not found|reply message not found|reply_message_id_invalid", Reason.REPLY_GONE),
    (r"thread not found|topic_(?:closed|deleted|id_invalid|not_modified)|topic identifier", Reason.TOPIC_GONE),
    (r"access the topic|chat is not a (?:supergroup )?forum|doesn't have topics", Reason.TOPIC_GONE),
    (r"message(?: to \w+)? not found|message_id_invalid|message can't be (?:edited|deleted)", Reason.MESSAGE_GONE),
    (r"message identifier|message_edit_time_expired|message_author_required", Reason.MESSAGE_GONE),
    (r"blocked by the user|user_is_blocked|deactivated|kicked|not a member|chat was deleted", Reason.BLOCKED),
    (r"can't initiate conversation|messages to bots|input_user_deactivated|bot is blocked", Reason.BLOCKED),
    (r"chat not found|chat_id|chat identifier|peer_id_invalid|user not found|not accessible", Reason.CHAT_GONE),
    (r"access the chat|business[ _](?:connection|peer)", Reason.CHAT_GONE),
    (r"rights|(?:write|read) access|no access|_forbidden|admin_required|chat_restricted|banned", Reason.RIGHTS),
    (r"too long|_too_long", Reason.TOO_LONG),
    (r"non-empty|text is empty|message_empty|without content", Reason.EMPTY),
    (r"can't parse|entit(?:y\b(?! too large)|ies)|http url\b|encoded in utf-8", Reason.MARKUP),
    (r"file|photo|image|media|too large|document|upload", Reason.FILE),
    (r"unallowed token|unauthorized", Reason.TOKEN),
)
"""Patterns for Telegram's text in lower case; the first that matches counts."""
FILE_FIRST = re.compile(r"\bfile must be non-empty|file is too big|wrong (?:remote )?file|file_id")

ADVICE: dict[Reason, str] = {
    Reason.BLOCKED: "The bot can write there again when the person starts it, or when it is added again",
    Reason.CHAT_GONE: "The bot has never been there, or is not any more",
    Reason.RIGHTS: "Somebody who administers the chat can give the bot the right",
    Reason.TOPIC_GONE: "The topic was closed or deleted",
    Reason.TOKEN: "Put the bot's token from BotFather into TELEGRAM_BOT_TOKEN, or the token of [[bots]], and check "
    "TELEGRAM_API_URL",
    Reason.NO_METHOD: "The server behind TELEGRAM_API_URL is too old for it",
    Reason.CONFLICT: "Only one program may fetch the updates of a bot, and none while a webhook is set",
}


class Broken(NetworkError):
    """What broke below the library. Its text, and so its traceback, has none of it: that may contain our URL."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(type(problem).__name__)
        self.problem = problem


def translate(method: str, exc: Exception, *, token_works: bool = False) -> DeliveryError:
    """Returns our error for whatever a call raised. ``token_works``: whether another call succeeded with the token."""
    if token_works and isinstance(exc, InvalidToken) and method != FILE_CONTENT and "unauthorized" not in _words(exc):
        return _no_method(method, exc)
    return handler_for(TABLE, type(exc), ERRORS.interrupted)(method, exc)


def _words(exc: Exception) -> str:
    return str(exc).lower()


def changes_nothing(exc: Exception) -> bool:
    """Returns whether the message already shows what it was to be changed to."""
    return isinstance(exc, BadRequest) and "not modified" in exc.message.lower()


def posts(method: str) -> bool:
    """Returns whether people see it twice if the method is called twice."""
    return POSTS.match(method.replace("_", "").lower()) is not None


def reason_of(words: str) -> Reason:
    """Reads from Telegram's text why it refuses."""
    said = words.lower()
    if FILE_FIRST.search(said):
        return Reason.FILE
    return next((reason for pattern, reason in WORDS if re.search(pattern, said)), Reason.OTHER)


def _said(exc: Exception) -> str:
    """Returns Telegram's text, without what it quotes."""
    return logs.mask(QUOTED.sub("URL is", str(exc))).rstrip(".")[:MAX_DETAIL]


def _name(exc: Exception) -> str:
    """Names what broke; what was made of an HTTP status has Telegram's own text."""
    return _said(exc) if isinstance(exc, NetworkError) else type(exc).__name__


ERRORS = CallErrors(PLATFORM, "TELEGRAM_API_URL", lambda method: not posts(method), _name)


# ---------------------------------------------------------------- refusals


def _rejected(method: str, said: str, reason: Reason, retry_after: float | None = None) -> DeliveryError:
    advice = f" {ADVICE[reason]}." if reason in ADVICE else ""
    return Rejected(f"Telegram refused {method}: {said}.{advice}", reason=reason, retry_after=retry_after)


def _bad_request(method: str, exc: Exception) -> DeliveryError:
    return _rejected(method, _said(exc), reason_of(str(exc)))


def _forbidden(method: str, exc: Exception) -> DeliveryError:
    reason = reason_of(str(exc).lower().removeprefix("forbidden: "))
    return _rejected(method, _said(exc), Reason.RIGHTS if reason is Reason.OTHER else reason)


def _migrated(method: str, exc: Exception) -> DeliveryError:
    to = str(exc.new_chat_id) if isinstance(exc, ChatMigrated) else ""
    return Migrated(f"The group of {method} is a supergroup now, {to}.", to=to)


def _not_found(method: str, exc: Exception) -> DeliveryError:
    """Handles a path that Telegram does not know, because of an unknown method or an unknown token in it."""
    if method == FILE_CONTENT:
        return _rejected(method, "it is gone", Reason.FILE)
    known = "unauthorized" in _words(exc) or (method.islower() and "method" not in str(exc).lower())
    return _rejected(method, _said(exc), Reason.TOKEN if known else Reason.NO_METHOD)


def _no_method(method: str, exc: Exception) -> DeliveryError:
    return _rejected(method, _said(exc), Reason.NO_METHOD)


def _conflict(method: str, exc: Exception) -> DeliveryError:
    return _rejected(method, _said(exc), Reason.CONFLICT, retry_after=SOON)


def _rate_limited(method: str, exc: Exception) -> DeliveryError:
    told = exc.retry_after if isinstance(exc, RetryAfter) else DEFAULT_RETRY_AFTER
    return ERRORS.rate_limited(method, told.total_seconds() if isinstance(told, dt.timedelta) else float(told))


def _broken(method: str, exc: Exception) -> DeliveryError:
    problem = exc.problem if isinstance(exc, Broken) else exc
    return handler_for(ERRORS.of_network, type(problem), ERRORS.interrupted)(method, problem)


TABLE: dict[type[BaseException], Handler] = {
    BadRequest: _bad_request,  # for the library it is a NetworkError
    Forbidden: _forbidden,
    ChatMigrated: _migrated,
    Conflict: _conflict,
    EndPointNotFound: _no_method,
    InvalidToken: _not_found,
    RetryAfter: _rate_limited,
    TimedOut: ERRORS.interrupted,
    Broken: _broken,
    NetworkError: ERRORS.interrupted,  # made of an HTTP status
    PassportDecryptionError: ERRORS.invalid_call,
    TelegramError: ERRORS.interrupted,  # an answer that cannot be read
}
