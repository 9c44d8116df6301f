"""Text messages of a bot: sendMessage, editMessageText, deleteMessage, sendMessageDraft."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.fakes.telegram_arguments import Args
from tests.fakes.telegram_faults import bad
from tests.fakes.telegram_formatting import TEXT_LIMIT, Formatted
from tests.fakes.telegram_messages import BOT_ID, GENERAL_TOPIC, Json, bot, captioned, units, worded
from tests.fakes.telegram_state import DRAFT_SECONDS, Chat, Draft, Entry, File, Shown, World


def send_message(world: World, args: Args) -> Json:
    text = args.text()
    place = Place(world, args)
    if units(text.text) > TEXT_LIMIT:
        raise bad("Message is too long")
    return place.say(text)


class Place:
    """Where a message goes: a chat, a topic, a message to reply to. Raises TelegramError if it may not be sent."""

    def __init__(self, world: World, args: Args) -> None:
        self._world = world
        self._args = args
        self.chat = world.open_chat(args.chat_id, args.business)
        self.thread = _topic(self.chat, args)
        self.reply_to = _reply_to(self.chat, args)

    def say(self, text: Formatted, files: tuple[File, ...] = (), *, group_id: str = "", **more: object) -> Json:
        """Posts a message of the bot; returns its JSON."""
        chat, markup = self.chat, self._args.thing("reply_markup") or None
        shown = Shown(
            message_id=chat.last + 1,
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
            group_id=group_id,
        )
        json = {"message_id": shown.message_id, "from": bot(), "chat": chat.json, "date": int(time.time()), **more}
        put = captioned if files else worded
        json |= self._around() | put(text.text, text.entities) | ({"reply_markup": markup} if markup else {})
        return self._world.say(chat, shown, json)

    def _around(self) -> Json:
        around: Json = {}
        if self.thread is not None:
            around |= {"message_thread_id": self.thread, "is_topic_message": True}
        if self.reply_to is not None:
            told = self.chat.entries[self.reply_to].json
            around["reply_to_message"] = {key: value for key, value in told.items() if key != "reply_to_message"}
        if self.chat.business:
            around["business_connection_id"] = self.chat.business
        return around


def _topic(chat: Chat, args: Args) -> int | None:
    """Returns the topic in a forum or a private chat, None in other chats. Raises ``message thread not found``."""
    thread = args.number("message_thread_id")
    if not thread or not chat.has_topics:
        return None
    general = thread == GENERAL_TOPIC and not chat.private
    if general or thread not in chat.topics:
        raise bad("Message thread not found")
    return thread


def _reply_to(chat: Chat, args: Args) -> int | None:
    """Returns the id of the message to reply to. Raises ``message to be replied not found``."""
    told = args.thing("reply_parameters")
    message_id = told.get("message_id") or args.number("reply_to_message_id")
    if not message_id:
        return None
    if message_id in chat.entries:
        return int(message_id)
    if told.get("allow_sending_without_reply") or args.flag("allow_sending_without_reply"):
        return None
    raise bad("Message to be replied not found")


def edit_message_text(world: World, args: Args) -> Json:
    text = args.text()
    chat = world.open_chat(args.chat_id, args.business)
    entry = entry_of(chat, args, "message to edit")
    if not entry.shown.from_bot:
        raise bad("Message can't be edited")
    if entry.shown.files:
        raise bad("There is no text in the message to edit")
    if units(text.text) > TEXT_LIMIT:
        raise bad("MESSAGE_TOO_LONG")
    return _rewrite(chat, entry, text, args.thing("reply_markup") or None)


def _rewrite(chat: Chat, entry: Entry, text: Formatted, markup: Json | None) -> Json:
    """Replaces text, entities and buttons. Raises ``message is not modified``."""
    shown = entry.shown
    if (shown.text, shown.entities, shown.markup) == (text.text, text.entities, markup):
        same = "specified new message content and reply markup are exactly the same as a current content"
        raise bad(f"message is not modified: {same} and reply markup of the message")
    new = replace(shown, text=text.text, entities=text.entities, markup=markup, edited=True)
    kept = {key: value for key, value in entry.json.items() if key not in {"text", "entities", "reply_markup"}}
    json = (
        kept
        | worded(text.text, text.entities)
        | {"edit_date": int(time.time())}
        | ({"reply_markup": markup} if markup else {})
    )
    return chat.put(new, json).json


def entry_of(chat: Chat, args: Args, what: str) -> Entry:
    """Returns the message named by ``message_id``. Raises "``description`` not found"."""
    found = chat.entries.get(args.number("message_id"))
    if found is None:
        raise bad(f"{what} not found")
    return found


def delete_message(world: World, args: Args) -> bool:
    chat = world.open_chat(args.chat_id)
    entry = entry_of(chat, args, "message to delete")
    if not (entry.shown.from_bot or chat.private):
        raise bad("Message can't be deleted")
    del chat.entries[entry.shown.message_id]
    return True


def delete_messages(world: World, args: Args) -> bool:
    """deleteMessages: skips messages that do not exist."""
    chat = world.open_chat(args.chat_id)
    for message_id in args.things("message_ids"):
        entry = chat.entries.get(message_id)
        if entry is not None and (entry.shown.from_bot or chat.private):
            del chat.entries[message_id]
    return True


def send_message_draft(world: World, args: Args) -> bool:
    """sendMessageDraft: only in private chats, with a draft_id other than 0; the server's error texts are not
    documented.
    """
    text = args.text(empty=True)
    chat = world.open_chat(args.chat_id)
    if not chat.private:
        raise bad("TEXTDRAFT_PEER_INVALID")
    draft_id, thread = args.number("draft_id"), _topic(chat, args)
    if not draft_id:
        raise bad("TEXTDRAFT_ID_INVALID")
    if units(text.text) > TEXT_LIMIT:
        raise bad("MESSAGE_TOO_LONG")
    stop, keep = args.flag("can_stop"), args.flag("keep_on_stop")
    until = world.clock() + DRAFT_SECONDS
    chat.drafts[thread, draft_id] = Draft(draft_id, thread, text.text, text.entities, stop, keep, until)
    return True
