"""The one table from what Telegram says no with, and from what breaks on the way, to our errors.

Sources: the library's ``telegram.error``, and for Telegram's words the server (github.com/tdlib/telegram-bot-api,
telegram-bot-api/Client.cpp) and what it is built on (github.com/tdlib/td, td/telegram).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import httpx
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

from adapters.telegram.errors import Away, Declined, Reason, Throttled, Unsure
from gateway import logs
from gateway.errors import DeliveryError

CONTENT = "the content of a file"
SOON = 2.0
"""Seconds after which it may work again."""
UNTOLD_RETRY_AFTER = 5
LONGEST_RETRY_AFTER = 3600.0
LONGEST_WORDS = 300

POSTS = re.compile(r"(?:send|forward|copy|create|answerguest)(?!.*(?:draft|chataction)$)")
"""Methods that do it twice when they are asked twice. All others set something to what it shall be, or only ask."""
QUOTED = re.compile(r"url '.*' is", re.IGNORECASE | re.DOTALL)
"""An address out of what somebody said."""

Decision = Callable[[str, Exception], DeliveryError]

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
"""What Telegram's text has in it, in lower case; the first that fits counts."""
FILE_FIRST = re.compile(r"\bfile must be non-empty|file is too big|wrong (?:remote )?file|file_id")

ADVICE: dict[Reason, str] = {
    Reason.BLOCKED: "The bot can write there again when the person starts it, or when it is added again",
    Reason.CHAT_GONE: "The bot has never been there, or is not any more",
    Reason.RIGHTS: "Somebody who administers the chat can give the bot the right",
    Reason.TOPIC_GONE: "The topic was closed or deleted",
    Reason.TOKEN: "Put the bot's token from BotFather into TELEGRAM_BOT_TOKEN, and check TELEGRAM_API_URL",
    Reason.NO_METHOD: "The server behind TELEGRAM_API_URL is too old for it",
    Reason.CONFLICT: "Only one program may fetch the updates of a bot, and none while a webhook is set",
}


def translate(method: str, exc: Exception) -> DeliveryError:
    """Our error for whatever came out of a call."""
    decide = next((TABLE[kind] for kind in type(exc).__mro__ if kind in TABLE), _broken_off)
    return decide(method, exc)


def changes_nothing(exc: Exception) -> bool:
    """Whether what was to be changed is so already."""
    return isinstance(exc, BadRequest) and "not modified" in exc.message.lower()


def posts(method: str) -> bool:
    """Whether somebody sees it twice if it is done twice."""
    return POSTS.match(method.replace("_", "").lower()) is not None


def reason_of(words: str) -> Reason:
    """Why Telegram refuses, from its words."""
    said = words.lower()
    if FILE_FIRST.search(said):
        return Reason.FILE
    return next((reason for pattern, reason in WORDS if re.search(pattern, said)), Reason.OTHER)


# ---------------------------------------------------------------- refusals


def _declined(method: str, said: str, reason: Reason, retry_after: float | None = None) -> DeliveryError:
    advice = f" {ADVICE[reason]}." if reason in ADVICE else ""
    return Declined(f"Telegram refused {method}: {said}.{advice}", reason=reason, retry_after=retry_after)


def _refused(method: str, exc: Exception) -> DeliveryError:
    return _declined(method, _said(exc), reason_of(str(exc)))


def _forbidden(method: str, exc: Exception) -> DeliveryError:
    reason = reason_of(str(exc).lower().removeprefix("forbidden: "))
    return _declined(method, _said(exc), Reason.RIGHTS if reason is Reason.OTHER else reason)


def _migrated(method: str, exc: Exception) -> DeliveryError:
    to = str(exc.new_chat_id) if isinstance(exc, ChatMigrated) else ""
    return Declined(f"The group of {method} is a supergroup now, {to}.", reason=Reason.MIGRATED, to=to)


def _rejected(method: str, exc: Exception) -> DeliveryError:
    """A path that Telegram does not know has a method or a token in it that it does not know."""
    if method == CONTENT:
        return _declined(method, "it is gone", Reason.FILE)
    known = "unauthorized" in str(exc).lower() or (method.islower() and "method" not in str(exc).lower())
    return _declined(method, _said(exc), Reason.TOKEN if known else Reason.NO_METHOD)


def _no_method(method: str, exc: Exception) -> DeliveryError:
    return _declined(method, _said(exc), Reason.NO_METHOD)


def _conflict(method: str, exc: Exception) -> DeliveryError:
    return _declined(method, _said(exc), Reason.CONFLICT, retry_after=SOON)


def _throttled(method: str, exc: Exception) -> DeliveryError:
    told = exc.retry_after if isinstance(exc, RetryAfter) else UNTOLD_RETRY_AFTER
    seconds = told.total_seconds() if isinstance(told, dt.timedelta) else float(told)
    return Throttled(f"Telegram wants fewer calls of {method}", retry_after=min(max(seconds, 0.0), LONGEST_RETRY_AFTER))


def _said(exc: Exception) -> str:
    """Telegram's words, without what it quotes."""
    return logs.mask(QUOTED.sub("URL is", str(exc))).rstrip(".")[:LONGEST_WORDS]


# ---------------------------------------------------------------- what breaks on the way


def _not_sent(method: str, exc: Exception) -> DeliveryError:
    return Away(f"Telegram cannot be reached for {method}: {_kind(exc)}", retry_after=SOON)


def _broken_off(method: str, exc: Exception) -> DeliveryError:
    if posts(method):
        return Unsure(f"Telegram may or may not have done {method}: {_kind(exc)}", retry_after=SOON)
    return Away(f"Telegram did not answer to {method}: {_kind(exc)}", retry_after=SOON)


def _bad_address(method: str, exc: Exception) -> DeliveryError:
    return Declined(f"{method} leads nowhere. Check TELEGRAM_API_URL: {_kind(exc)}")


def _ours(method: str, exc: Exception) -> DeliveryError:
    return Declined(f"The call of {method} is not right: {_kind(exc)}. Please report it")


def _broken(method: str, exc: Exception) -> DeliveryError:
    """By what the library met: it wraps that in its own."""
    cause = type(exc.__cause__ or exc)
    decide = next((BREAKS[kind] for kind in cause.__mro__ if kind in BREAKS), _broken_off)
    return decide(method, exc)


def _kind(exc: Exception) -> str:
    """A class's name: the text of what broke may hold an address with the token. What came of a status is its words."""
    if exc.__cause__ is not None:
        return type(exc.__cause__).__name__
    return _said(exc) if isinstance(exc, NetworkError) else type(exc).__name__


BREAKS: dict[type[BaseException], Decision] = {
    httpx.ConnectError: _not_sent,  # refused, no such host, TLS
    httpx.ConnectTimeout: _not_sent,
    httpx.PoolTimeout: _not_sent,  # no connection was free
    httpx.ProxyError: _not_sent,  # the proxy did not let us through
    httpx.UnsupportedProtocol: _bad_address,
    httpx.InvalidURL: _bad_address,
}

TABLE: dict[type[BaseException], Decision] = {
    BadRequest: _refused,  # to the library it is a NetworkError
    Forbidden: _forbidden,
    ChatMigrated: _migrated,
    Conflict: _conflict,
    EndPointNotFound: _no_method,
    InvalidToken: _rejected,
    RetryAfter: _throttled,
    TimedOut: _broken,
    NetworkError: _broken,
    PassportDecryptionError: _ours,
    TelegramError: _broken_off,  # an answer that cannot be read
}
