"""The Bot API methods of the fake, and the rate limits each counts against."""

from __future__ import annotations

from tests.fakes import telegram_files, telegram_text_methods
from tests.fakes.platform_api import encode
from tests.fakes.telegram_arguments import Args
from tests.fakes.telegram_bot_api import Method
from tests.fakes.telegram_faults import bad
from tests.fakes.telegram_messages import Json
from tests.fakes.telegram_state import Action, World
from tests.fakes.telegram_text_methods import entry_of

ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
DEFAULT_SCOPE = '{"type":"default"}'


def methods(*, drafts: bool) -> dict[str, Method]:
    known = _sending() | _around()
    return known | ({"sendMessageDraft": Method(telegram_text_methods.send_message_draft, "all")} if drafts else {})


def _sending() -> dict[str, Method]:
    return {
        "sendMessage": Method(telegram_text_methods.send_message, "chat"),
        "editMessageText": Method(telegram_text_methods.edit_message_text, "chat"),
        "sendPhoto": Method(telegram_files.send_photo, "chat"),
        "sendDocument": Method(telegram_files.send_document, "chat"),
        "sendVoice": Method(telegram_files.send_voice, "chat"),
        "sendMediaGroup": Method(telegram_files.send_media_group, "chat"),
        "sendChatAction": Method(send_chat_action, "all"),
    }


def _around() -> dict[str, Method]:
    return {
        "getMe": Method(lambda world, _: world.me),
        "deleteMessage": Method(telegram_text_methods.delete_message),
        "deleteMessages": Method(telegram_text_methods.delete_messages),
        "getFile": Method(telegram_files.get_file),
        "setMyCommands": Method(set_my_commands),
        "getMyCommands": Method(get_my_commands),
        "deleteMyCommands": Method(delete_my_commands),
        "setMessageReaction": Method(set_message_reaction),
        "answerCallbackQuery": Method(answer_callback_query),
        "answerGuestQuery": Method(answer_guest_query),
        "createForumTopic": Method(create_forum_topic),
        "editForumTopic": Method(edit_forum_topic),
    }


def send_chat_action(world: World, args: Args) -> bool:
    if args.word("action") not in ACTIONS:
        raise bad("Wrong parameter action in request")
    chat = world.open_chat(args.chat_id, args.business)
    chat.act(Action(args.word("action"), args.number("message_thread_id") or None, world.clock()))
    return True


def _scope(args: Args) -> str:
    scope = encode(args["scope"]) if args.thing("scope") else DEFAULT_SCOPE
    language = args.word("language_code")
    return f"{scope} {language}" if language else scope


def set_my_commands(world: World, args: Args) -> bool:
    commands = args.things("commands")
    for one in commands:
        name, told = str(one.get("command", "")), str(one.get("description", ""))
        if not (1 <= len(name) <= 32 and name.replace("_", "").isalnum() and name.isascii() and name == name.lower()):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(told) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    if len(commands) > 100:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    world.commands[_scope(args)] = commands
    return True


def get_my_commands(world: World, args: Args) -> list[Json]:
    return world.commands.get(_scope(args), [])


def delete_my_commands(world: World, args: Args) -> bool:
    world.commands.pop(_scope(args), None)
    return True


def set_message_reaction(world: World, args: Args) -> bool:
    """setMessageReaction: a bot has at most one reaction to a message; an empty list removes it."""
    chat = world.open_chat(args.chat_id)
    entry = entry_of(chat, args, "message to react")
    emoji = tuple(str(one.get("emoji")) for one in args.things("reaction"))
    if len(emoji) > 1:
        raise bad("REACTIONS_TOO_MANY")
    world.react(entry, emoji)
    return True


def answer_callback_query(world: World, args: Args) -> bool:
    query_id = args.word("callback_query_id")
    if not query_id:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    world.answered[query_id] = dict(args)
    return True


def answer_guest_query(world: World, args: Args) -> Json:
    query_id = args.word("guest_query_id")
    if not query_id or query_id in world.answered:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    world.answered[query_id] = dict(args)
    return {"inline_message_id": f"guest-{query_id}"}


def create_forum_topic(world: World, args: Args) -> Json:
    """createForumTopic: in a forum or a private chat with topics. Its id is that of the message that opens it."""
    chat = world.open_chat(args.chat_id)
    if not chat.has_topics:
        raise bad("The chat is not a forum")
    if not 1 <= len(args.word("name")) <= 128:
        raise bad("TOPIC_TITLE_EMPTY")
    chat.last += 1
    chat.topics[chat.last] = args.word("name")
    return {"message_thread_id": chat.last, "name": args.word("name"), "icon_color": 7322096}


def edit_forum_topic(world: World, args: Args) -> bool:
    chat = world.open_chat(args.chat_id)
    thread = args.number("message_thread_id")
    if thread not in chat.topics:
        raise bad("TOPIC_ID_INVALID")
    if chat.topics[thread] == args.word("name"):
        raise bad("TOPIC_NOT_MODIFIED")
    chat.topics[thread] = args.word("name") or chat.topics[thread]
    return True
