"""People are spoken to in their language: how it is found out, and that what is said is said in it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import flask
import pytest

from adapters.base.chat_adapter import ChatAdapter
from adapters.base.features import BotFeatures
from adapters.discord.commands import described, not_here
from adapters.discord.event_parser import DiscordParser
from adapters.discord.settings import DiscordSettings
from adapters.http.chat_request import ChatRequestParser
from adapters.http.settings import HttpSettings
from adapters.slack.directory import PERSON
from adapters.slack.formatter import feedback_block
from adapters.telegram import registration
from adapters.telegram.settings import TelegramSettings
from adapters.telegram.update_parser import UpdateParser
from gateway.domain.errors import Blocked, SettingsError
from gateway.domain.models import ConversationKey, Failure, Message, MessageKind, Turn, TurnId, TurnState
from gateway.domain.sentences import counted, joined, sentence
from gateway.languages import ENGLISH_ONLY, Languages, LanguageSettings, say
from gateway.policy import replies
from gateway.ports.platform import Request
from gateway.settings import terminal_locales
from gateway.web.api import problems
from gateway.web.chat_page import Assets, ChatPage
from gateway.web.chat_page_settings import ChatPageSettings
from gateway.worker.answering.commands import RESET_REPLY
from gateway.worker.answering.reply_limit import ReplyLimit
from storage.tables.sentence_parts import SentencePartsJson
from tests.adapters.telegram.parsing import ME
from tests.fakes.memory import FakeMemory
from tests.settings import settings_of

ALL = LanguageSettings().languages
GERMAN_FIRST = Languages(("de", "en"))


@pytest.mark.parametrize(
    ("tags", "language"),
    [
        (("de",), "de"),
        (("de-AT",), "de"),
        (("pt_BR.UTF-8",), "pt"),
        (("ZH-hans-CN",), "zh"),
        (("zh-TW", "fr"), "fr"),
        (("zh-Hant",), "en"),
        (("tlh", "ru"), "ru"),
        (("",), "en"),
        ((), "en"),
        (("../../etc/passwd",), "en"),
    ],
)
def test_the_first_tag_that_is_offered_counts(tags: tuple[str, ...], language: str) -> None:
    assert ALL.best(*tags) == language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.5, fr;q=0.9", "fr"),
        ("ja;q=0, es;q=0.1", "es"),
        ("*", "en"),
        ("de;q=much, ru;q=0.5", "de"),
        (";;;,,,=", "en"),
        ("", "en"),
    ],
)
def test_the_weights_of_accept_language_count(header: str, language: str) -> None:
    assert ALL.accepted(header) == language


def test_who_reads_no_offered_language_gets_the_first() -> None:
    assert GERMAN_FIRST.best("fr") == GERMAN_FIRST.accepted("fr") == "de"
    assert ENGLISH_ONLY.best("de") == ENGLISH_ONLY.accepted("de") == "en"


def test_a_language_without_a_catalogue_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LANGUAGES", "de, tlh")
    with pytest.raises(SettingsError, match="GATEWAY_LANGUAGES: must list some of de, en"):
        LanguageSettings.load()


@pytest.mark.parametrize(
    ("given", "locales"),
    [
        ({"LANG": "de_DE.UTF-8"}, ("de_DE.UTF-8",)),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "fr_FR"}, ("fr_FR",)),
        ({"LANG": "de_DE", "LANGUAGE": "pt:es"}, ("pt", "es", "de_DE")),
        ({"LANG": "C.UTF-8", "LANGUAGE": "pt"}, ()),
        ({}, ()),
    ],
)
def test_a_terminal_says_its_language(
    given: dict[str, str], locales: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert terminal_locales() == locales


# ---------------------------------------------------------------- sentences with values


def test_numbers_plurals_and_sentences_within_sentences_are_said() -> None:
    limited = replies.rate_limited(5, 60.0, 22.0)
    assert limited == "That was more than 5 messages in a minute. Please try again in 22 seconds."
    assert (
        say(limited, "ru") == "Это было больше 5 сообщений за минуту. Пожалуйста, повторите попытку через 22 секунды."
    )
    assert say(limited, "zh") == "一分钟内的消息超过了 5 条。请 22 秒后再试。"
    assert "200.000 Zeichen" in ReplyLimit(200_000, "de").fitted("x" * 200_001)
    assert "200,000 characters" in ReplyLimit(200_000).fitted("x" * 200_001)


@pytest.mark.parametrize("text", ["", "What a model said.", "{count}", "%s"])
def test_what_is_none_of_our_sentences_is_left_as_it_is(text: str) -> None:
    assert say(text, "de") == say(text, "") == say(text, "tlh") == text


def test_a_stored_sentence_is_in_no_language_yet() -> None:
    column: Any = SentencePartsJson()
    told = joined(counted("One", "{count} things", 3), sentence("The file {name}", name="{x}.txt"))
    stored = column.process_bind_param(told, None)
    read = column.process_result_value(stored, None)
    assert (read, read.values) == (told, told.values)
    assert deepcopy(told).values == told.values
    assert column.process_bind_param(sentence("Stopped."), None) is None
    assert column.process_bind_param("Stopped.", None) is None


# ---------------------------------------------------------------- what platforms say of people


def test_telegram_names_the_language_of_the_author(telegram_message: dict[str, Any]) -> None:
    (message,) = (
        UpdateParser(telegram_settings(), ME, ALL).parse({"update_id": 1, "message": telegram_message}).messages
    )
    assert message.language == "de"
    (message,) = UpdateParser(telegram_settings(), ME).parse({"update_id": 1, "message": telegram_message}).messages
    assert (message.language, message.context) == ("", None)


def telegram_settings() -> Any:
    return settings_of(TelegramSettings)


@pytest.fixture
def telegram_message() -> dict[str, Any]:
    return {
        "message_id": 5,
        "date": 1,
        "chat": {"id": 7, "type": "private"},
        "from": {"id": 7, "is_bot": False, "first_name": "Ada", "language_code": "de"},
        "text": "Hallo",
    }


def test_discord_names_it_with_commands() -> None:
    parser = DiscordParser(settings_of(DiscordSettings), ALL)
    event = {
        "id": "11",
        "type": 2,
        "token": "t",
        "channel_id": "12",
        "locale": "pt-BR",
        "user": {"id": "13"},
        "data": {"name": "new"},
    }
    (message,) = parser.interaction(event).messages
    assert (message.kind, message.language) == (MessageKind.RESET, "pt")
    assert json.loads(not_here("pt"))["data"]["content"] == "Eu não respondo aqui."


def test_commands_are_described_in_every_language() -> None:
    ask, *_ = described(BotFeatures(ALL))
    assert ask["name"] == "ask"
    assert ask["description_localizations"]["de"] == "Den Assistenten etwas fragen"
    assert set(ask["description_localizations"]) == {"de", "es-ES", "es-419", "fr", "ja", "pt-BR", "ru", "zh-CN"}
    texts = [text for each in described(BotFeatures(ALL)) for text in each["description_localizations"].values()]
    assert max(map(len, texts)) <= 100  # docs.discord.com/developers/interactions/application-commands
    assert described(BotFeatures(Languages(("de",))))[0]["description"] == "Den Assistenten etwas fragen"


class MenuCalls:
    bot_id = "1"

    def __init__(self) -> None:
        self.made: list[tuple[str, str, str | None, Any]] = []

    async def call(self, method: str, **args: Any) -> None:
        self.made.append((method, args["scope"].type, args["language_code"], args.get("commands")))


async def test_telegrams_menu_is_set_once_in_each_language_and_removed_where_it_is_not_offered_any_more() -> None:
    memory, calls, settings = FakeMemory(), MenuCalls(), telegram_settings()
    for _ in range(2):
        await registration.set_menu(calls, settings, memory, BotFeatures(Languages(("de", "en", "ja"))))  # type: ignore[arg-type]  # a fake
    default = [(code, commands[1]) for _, scope, code, commands in calls.made if scope == "default"]
    assert default == [
        (None, ("stop", "Die Antwort anhalten")),
        ("en", ("stop", "Stop the reply")),
        ("ja", ("stop", "返信を止める")),
    ]
    calls.made.clear()
    await registration.set_menu(calls, settings, memory, BotFeatures(Languages(("de", "en"))))  # type: ignore[arg-type]  # a fake
    gone = [(method, code) for method, scope, code, _ in calls.made if scope == "default"]
    assert gone == [("set_my_commands", None), ("set_my_commands", "en"), ("delete_my_commands", "ja")]


def test_slack_is_asked_for_it_with_the_name() -> None:
    assert PERSON.options == {"include_locale": "true"}
    entry = PERSON.read({"user": {"name": "ada", "locale": "fr-FR"}})
    assert (entry.name, entry.locale) == ("ada", "fr-FR")
    buttons = feedback_block("turn_1", "fr")["elements"][0]
    assert buttons["positive_button"]["accessibility_label"] == "Bonne réponse"


def test_callers_of_chat_name_it_in_a_header() -> None:
    parser = ChatRequestParser(settings_of(HttpSettings), lambda _: None, max_message_chars=100, languages=ALL)
    body = json.dumps({"message": "Hallo"}).encode()
    headers = {"content-type": "application/json", "accept-language": "de-DE"}
    assert parser.parse(Request(headers, body)).message.language == "de"


def test_the_page_is_in_the_language_of_the_visitor() -> None:
    page = ChatPage(ChatPageSettings.load(), Assets(), "*", requires_key=False, max_message_chars=9, languages=ALL)
    site = flask.Flask("test")
    site.register_blueprint(page.routes())
    visitor = site.test_client()
    german, english = (visitor.get("/", headers={"Accept-Language": tag}) for tag in ("de", "en"))
    assert '<html lang="de" dir="ltr">' in german.text
    assert "Wie kann ich dir helfen?" in german.text
    assert '"Copied": "Kopiert"' in german.text
    assert '<script type="application/json" id="sentences">{}</script>' in english.text
    assert german.headers["Content-Language"] == "de"
    assert "Accept-Language" in german.headers["Vary"]
    script = visitor.get("/embed.js", headers={"Accept-Language": "zh-CN"})
    assert json.dumps("关闭聊天") in script.text
    assert "const SENTENCES = {};" in visitor.get("/embed.js").text


# ---------------------------------------------------------------- what is said


def turn(kind: MessageKind = MessageKind.PROMPT, **given: Any) -> Turn:
    message = Message(ConversationKey("board"), "1", "Hallo", kind=kind)
    return Turn(TurnId("t"), 1, 1, message, **{"state": TurnState.ANSWERED, **given})


class EchoAdapter:
    def plain(self, text: str) -> list[str]:
        return [text]

    def formatted(self, shown: Turn, language: str) -> list[str]:
        return [shown.reply, language]


def contents(shown: Turn, language: str) -> list[str]:
    return ChatAdapter._contents(EchoAdapter(), shown, language)  # type: ignore[arg-type]  # what it needs of it


def test_failures_and_answers_of_the_bot_are_said_where_they_are_delivered() -> None:
    failure = Failure("timed_out", "The assistant could not answer this message.")
    (said,) = contents(turn(state=TurnState.FAILED, failure=failure), "es")
    assert said == "El asistente no pudo responder a este mensaje."
    said, _ = contents(turn(MessageKind.RESET, reply=str(RESET_REPLY)), "es")
    assert said.startswith("Empieza una conversación nueva.")
    assert contents(turn(reply="Stopped."), "de") == ["Stopped.", "de"]


def test_errors_for_people_are_said_in_the_language_of_the_request_and_those_for_programs_in_english() -> None:
    token = problems.reader_language.set("de")
    try:
        told = problems.from_error(Blocked())[0]["error"]
        wrong = problems.not_found()[0]["error"]
    finally:
        problems.reader_language.reset(token)
    assert told == {"code": "blocked", "message": say(Blocked.default_message, "de")}
    assert told["message"].startswith("Du darfst")
    assert wrong["message"].startswith("There is nothing at this address.")
