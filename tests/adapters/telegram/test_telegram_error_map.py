"""Every error of the library and of the network: none is without a meaning, and none gives the token away."""

from __future__ import annotations

import inspect
from datetime import timedelta

import aiohttp
import pytest
import telegram.error
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, TelegramError

from adapters.base.error_map import FILE_CONTENT
from adapters.base.errors import OutcomeUnknown, PlatformRateLimited, Rejected, Unreachable
from adapters.telegram.error_map import TABLE, Broken, posts, reason_of, translate
from adapters.telegram.errors import Reason
from gateway.domain.errors import DeliveryError

SECRET = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


def every(kind: type[TelegramError]) -> set[type[TelegramError]]:
    return {kind}.union(*map(every, kind.__subclasses__()))


def test_every_error_of_the_library_is_in_the_table() -> None:
    named = {kind for _, kind in inspect.getmembers(telegram.error, inspect.isclass) if issubclass(kind, Exception)}
    theirs = {kind for kind in every(TelegramError) if kind.__module__.startswith("telegram.")}
    assert {getattr(telegram.error, name) for name in telegram.error.__all__} <= named
    assert set(TABLE) == named | theirs | {Broken}


ARGUMENTS: dict[str, tuple[object, ...]] = {"ChatMigrated": (-100,), "RetryAfter": (timedelta(seconds=3),)}


@pytest.mark.parametrize("kind", sorted(TABLE, key=str), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("method", ["send_message", "edit_message_text", FILE_CONTENT])
def test_every_error_becomes_one_of_ours(
    monkeypatch: pytest.MonkeyPatch, kind: type[TelegramError], method: str
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    error = translate(method, kind(*ARGUMENTS.get(kind.__name__, ("some words",))))  # type: ignore[arg-type]  # each its own
    assert isinstance(error, Unreachable | PlatformRateLimited | OutcomeUnknown | Rejected)
    assert str(error)
    assert isinstance(error, Rejected) or error.retry_after is not None
    assert posts(method) or not isinstance(error, OutcomeUnknown)


def test_a_bad_request_is_no_network_error_to_us() -> None:
    assert issubclass(BadRequest, NetworkError)
    assert isinstance(translate("send_message", BadRequest("x")), Rejected)


URL = "https://api.telegram.org/bot123456:SECRET/getMe"


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (aiohttp.ConnectionTimeoutError(URL), Unreachable),
        (aiohttp.SocketTimeoutError(URL), OutcomeUnknown),
        (aiohttp.ServerDisconnectedError(URL), OutcomeUnknown),
        (aiohttp.ClientPayloadError(URL), OutcomeUnknown),
        (aiohttp.InvalidURL(URL), Rejected),
        (TimeoutError(URL), OutcomeUnknown),
        (OSError(URL), OutcomeUnknown),
        (ValueError(URL), OutcomeUnknown),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
def test_what_breaks_below_the_library_is_sorted_by_whether_it_was_sent_and_not_quoted(
    problem: Exception, kind: type[DeliveryError]
) -> None:
    broken = Broken(problem)
    error = translate("send_message", broken)
    assert type(error) is kind
    assert type(problem).__name__ in str(error)
    assert type(translate("get_me", broken)) is (Rejected if kind is Rejected else Unreachable)
    assert "SECRET" not in f"{error!s} {error!r} {broken!s} {broken!r}"


@pytest.mark.parametrize(
    ("method", "shows"),
    [
        ("send_message", True),
        ("sendRichMessage", True),
        ("send_photo", True),
        ("forward_message", True),
        ("create_forum_topic", True),
        ("answer_guest_query", True),
        ("send_message_draft", False),
        ("sendRichMessageDraft", False),
        ("send_chat_action", False),
        ("edit_message_text", False),
        ("delete_message", False),
        ("set_webhook", False),
        ("answer_callback_query", False),
        ("getUpdates", False),
    ],
)
def test_only_what_people_would_see_twice_must_not_be_repeated(method: str, shows: bool) -> None:  # noqa: FBT001  # a table
    assert posts(method) is shows


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("message can't be edited", Reason.MESSAGE_GONE),
        ("message to delete not found", Reason.MESSAGE_GONE),
        ("message to be replied not found", Reason.REPLY_GONE),
        ("message thread not found", Reason.TOPIC_GONE),
        ("TOPIC_DELETED", Reason.TOPIC_GONE),
        ("chat not found", Reason.CHAT_GONE),
        ("PEER_ID_INVALID", Reason.CHAT_GONE),
        ("BUSINESS_CONNECTION_INVALID", Reason.CHAT_GONE),
        ("not enough rights to send text messages to the chat", Reason.RIGHTS),
        ("need administrator rights in the channel chat", Reason.RIGHTS),
        ("CHAT_WRITE_FORBIDDEN", Reason.RIGHTS),
        ("can't parse entities: unsupported start tag", Reason.MARKUP),
        ("entity beginning at UTF-16 offset 3 ends in a middle of a UTF-16 symbol", Reason.MARKUP),
        ("strings must be encoded in UTF-8", Reason.MARKUP),
        ("MESSAGE_TOO_LONG", Reason.TOO_LONG),
        ("text is too long", Reason.TOO_LONG),
        ("message text is empty", Reason.EMPTY),
        ("text must be non-empty", Reason.EMPTY),
        ("file is too big", Reason.FILE),
        ("file must be non-empty", Reason.FILE),
        ("IMAGE_PROCESS_FAILED", Reason.FILE),
        ("PHOTO_INVALID_DIMENSIONS", Reason.FILE),
        ("wrong file_id or the file is temporarily unavailable", Reason.FILE),
        ("wrong file identifier/HTTP URL specified", Reason.FILE),
        ("user is deactivated", Reason.BLOCKED),
        ("bot was kicked from the supergroup chat", Reason.BLOCKED),
        ("bot is not a member of the channel chat", Reason.BLOCKED),
        ("the group chat was deleted", Reason.BLOCKED),
        ("bot can't initiate conversation with a user", Reason.BLOCKED),
    ],
)
def test_telegrams_words_have_a_meaning(words: str, reason: Reason) -> None:
    assert reason_of(words) is reason
    assert reason_of(f"Forbidden: {words}") is reason


def test_words_that_nobody_knows_have_no_reason() -> None:
    assert reason_of("XYZ_INVALID") is Reason.OTHER


@pytest.mark.usefixtures("masked")
def test_a_token_that_telegram_quotes_is_masked() -> None:
    error = translate("send_message", Forbidden(f"Forbidden: {SECRET} may not"))
    assert SECRET.partition(":")[2] not in str(error)
    assert isinstance(translate(FILE_CONTENT, InvalidToken("Not Found")), Rejected)
