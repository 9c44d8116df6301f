"""Text messages of a bot: sendMessage, editMessageText, deleteMessage, sendMessageDraft."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.fakes.telegram_arguments import TelegramArguments
from tests.fakes.telegram_faults import bad_request
from tests.fakes.telegram_formatting import MAX_TEXT_UNITS, ParsedText
from tests.fakes.telegram_messages import (
    BOT_ID,
    GENERAL_TOPIC,
    Json,
    bot_user,
    caption_fields,
    text_fields,
    utf16_length,
)
from tests.fakes.telegram_state import (
    DRAFT_SECONDS,
    FakeChatMessage,
    TelegramChat,
    TelegramDraft,
    TelegramFile,
    TelegramMessageView,
    TelegramState,
)


def send_message(state: TelegramState, args: TelegramArguments) -> Json:
    text = args.formatted_text()
    place = MessageTarget(state, args)
    if utf16_length(text.text) > MAX_TEXT_UNITS:
        raise bad_request("Message is too long")
    return place.send(text)


class MessageTarget:
    """Where a message goes: a chat, a topic, a message to reply to. Raises TelegramError if it may not be sent."""

    def __init__(self, state: TelegramState, args: TelegramArguments) -> None:
        self._state = state
        self._args = args
        self.chat = state.writable_chat(args.chat_id, args.business_connection_id)
        self.thread = _topic(self.chat, args)
        self.reply_to = _reply_to(self.chat, args)

    def send(self, text: ParsedText, files: tuple[TelegramFile, ...] = (), **more: object) -> Json:
        """Posts a message of the bot; returns its JSON."""
        chat, markup = self.chat, self._args.json_object("reply_markup") or None
        shown = TelegramMessageView(
            message_id=chat.last_message_id + 1,
            chat_id=chat.id,
            thread=self.thread,
            text=text.text,
            entities=text.entities,
            from_bot=True,
            user=BOT_ID,
            reply_to=self.reply_to,
            edited=False,
            files=files,
            markup=markup,
        )
        json = {"message_id": shown.message_id, "from": bot_user(), "chat": chat.json, "date": int(time.time()), **more}
        put = caption_fields if files else text_fields
        json |= self._context_fields() | put(text.text, text.entities) | ({"reply_markup": markup} if markup else {})
        return self._state.add_bot_message(chat, shown, json)

    def _context_fields(self) -> Json:
        around: Json = {}
        if self.thread is not None:
            around |= {"message_thread_id": self.thread, "is_topic_message": True}
        if self.reply_to is not None:
            told = self.chat.messages[self.reply_to].json
            around["reply_to_message"] = {key: value for key, value in told.items() if key != "reply_to_message"}
        if self.chat.business:
            around["business_connection_id"] = self.chat.business
        return around


def _topic(chat: TelegramChat, args: TelegramArguments) -> int | None:
    """Returns the topic in a forum or a private chat, None in other chats. Raises ``message thread not found``."""
    thread = args.number("message_thread_id")
    if not thread or not chat.has_topics:
        return None
    general = thread == GENERAL_TOPIC and not chat.is_private
    if general or thread not in chat.topics:
        raise bad_request("Message thread not found")
    return thread


def _reply_to(chat: TelegramChat, args: TelegramArguments) -> int | None:
    """Returns the id of the message to reply to. Raises ``message to be replied not found``."""
    told = args.json_object("reply_parameters")
    message_id = told.get("message_id") or args.number("reply_to_message_id")
    if not message_id:
        return None
    if message_id in chat.messages:
        return int(message_id)
    if told.get("allow_sending_without_reply") or args.flag("allow_sending_without_reply"):
        return None
    raise bad_request("Message to be replied not found")


def edit_message_text(state: TelegramState, args: TelegramArguments) -> Json:
    text = args.formatted_text()
    chat = state.writable_chat(args.chat_id, args.business_connection_id)
    entry = find_message(chat, args, "message to edit")
    if not entry.view.from_bot:
        raise bad_request("Message can't be edited")
    if entry.view.files:
        raise bad_request("There is no text in the message to edit")
    if utf16_length(text.text) > MAX_TEXT_UNITS:
        raise bad_request("MESSAGE_TOO_LONG")
    return _replace_text(chat, entry, text, args.json_object("reply_markup") or None)


def _replace_text(chat: TelegramChat, entry: FakeChatMessage, text: ParsedText, markup: Json | None) -> Json:
    """Replaces text, entities and buttons. Raises ``message is not modified``."""
    shown = entry.view
    if (shown.text, shown.entities, shown.markup) == (text.text, text.entities, markup):
        same = "specified new message content and reply markup are exactly the same as a current content"
        raise bad_request(f"message is not modified: {same} and reply markup of the message")
    new = replace(shown, text=text.text, entities=text.entities, markup=markup, edited=True)
    kept = {key: value for key, value in entry.json.items() if key not in {"text", "entities", "reply_markup"}}
    json = (
        kept
        | text_fields(text.text, text.entities)
        | {"edit_date": int(time.time())}
        | ({"reply_markup": markup} if markup else {})
    )
    return chat.put_message(new, json).json


def find_message(chat: TelegramChat, args: TelegramArguments, description: str) -> FakeChatMessage:
    """Returns the message named by ``message_id``. Raises "``description`` not found"."""
    found = chat.messages.get(args.number("message_id"))
    if found is None:
        raise bad_request(f"{description} not found")
    return found


def delete_message(state: TelegramState, args: TelegramArguments) -> bool:
    chat = state.writable_chat(args.chat_id)
    entry = find_message(chat, args, "message to delete")
    if not (entry.view.from_bot or chat.is_private):
        raise bad_request("Message can't be deleted")
    del chat.messages[entry.view.message_id]
    return True


def send_message_draft(state: TelegramState, args: TelegramArguments) -> bool:
    """sendMessageDraft: only in private chats, with a draft_id other than 0; the server's error texts are not
    documented.
    """
    text = args.formatted_text(allow_empty=True)
    chat = state.writable_chat(args.chat_id)
    if not chat.is_private:
        raise bad_request("TEXTDRAFT_PEER_INVALID")
    draft_id, thread = args.number("draft_id"), _topic(chat, args)
    if not draft_id:
        raise bad_request("TEXTDRAFT_ID_INVALID")
    if utf16_length(text.text) > MAX_TEXT_UNITS:
        raise bad_request("MESSAGE_TOO_LONG")
    stop, keep = args.flag("can_stop"), args.flag("keep_on_stop")
    until = state.clock() + DRAFT_SECONDS
    chat.drafts[thread, draft_id] = TelegramDraft(draft_id, thread, text.text, text.entities, stop, keep, until)
    return True
