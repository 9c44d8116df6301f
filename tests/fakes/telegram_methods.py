"""The Bot API methods of the fake, and the rate limits each counts against."""

from __future__ import annotations

from tests.fakes import telegram_files, telegram_text_methods
from tests.fakes.platform_api import encode
from tests.fakes.telegram_arguments import TelegramArguments
from tests.fakes.telegram_bot_api import TelegramMethod
from tests.fakes.telegram_faults import bad_request
from tests.fakes.telegram_messages import Json
from tests.fakes.telegram_state import ChatAction, TelegramState

CHAT_ACTIONS = {
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


def methods(*, drafts: bool) -> dict[str, TelegramMethod]:
    known = _sending_methods() | _other_methods()
    return known | (
        {"sendMessageDraft": TelegramMethod(telegram_text_methods.send_message_draft, "all")} if drafts else {}
    )


def _sending_methods() -> dict[str, TelegramMethod]:
    return {
        "sendMessage": TelegramMethod(telegram_text_methods.send_message, "chat"),
        "editMessageText": TelegramMethod(telegram_text_methods.edit_message_text, "chat"),
        "sendPhoto": TelegramMethod(telegram_files.send_photo, "chat"),
        "sendDocument": TelegramMethod(telegram_files.send_document, "chat"),
        "sendChatAction": TelegramMethod(send_chat_action, "all"),
    }


def _other_methods() -> dict[str, TelegramMethod]:
    return {
        "getMe": TelegramMethod(lambda world, _: world.me),
        "deleteMessage": TelegramMethod(telegram_text_methods.delete_message),
        "getFile": TelegramMethod(telegram_files.get_file),
        "setMyCommands": TelegramMethod(set_my_commands),
        "getMyCommands": TelegramMethod(get_my_commands),
        "deleteMyCommands": TelegramMethod(delete_my_commands),
        "answerCallbackQuery": TelegramMethod(answer_callback_query),
        "answerGuestQuery": TelegramMethod(answer_guest_query),
    }


def send_chat_action(state: TelegramState, args: TelegramArguments) -> bool:
    if args.string("action") not in CHAT_ACTIONS:
        raise bad_request("Wrong parameter action in request")
    chat = state.writable_chat(args.chat_id, args.business_connection_id)
    chat.record_action(ChatAction(args.string("action"), args.number("message_thread_id") or None, state.clock()))
    return True


def _scope_key(args: TelegramArguments) -> str:
    scope = encode(args["scope"]) if args.json_object("scope") else DEFAULT_SCOPE
    language = args.string("language_code")
    return f"{scope} {language}" if language else scope


def set_my_commands(state: TelegramState, args: TelegramArguments) -> bool:
    commands = args.json_list("commands")
    for one in commands:
        name, told = str(one.get("command", "")), str(one.get("description", ""))
        if not (1 <= len(name) <= 32 and name.replace("_", "").isalnum() and name.isascii() and name == name.lower()):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(told) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    if len(commands) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    state.commands[_scope_key(args)] = commands
    return True


def get_my_commands(state: TelegramState, args: TelegramArguments) -> list[Json]:
    return state.commands.get(_scope_key(args), [])


def delete_my_commands(state: TelegramState, args: TelegramArguments) -> bool:
    state.commands.pop(_scope_key(args), None)
    return True


def answer_callback_query(state: TelegramState, args: TelegramArguments) -> bool:
    query_id = args.string("callback_query_id")
    if not query_id:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    state.query_answers[query_id] = dict(args)
    return True


def answer_guest_query(state: TelegramState, args: TelegramArguments) -> Json:
    query_id = args.string("guest_query_id")
    if not query_id or query_id in state.query_answers:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    state.query_answers[query_id] = dict(args)
    return {"inline_message_id": f"guest-{query_id}"}
