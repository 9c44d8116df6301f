"""User actions in the fake Telegram, and the updates they send to the bot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.fakes import telegram_updates as updates
from tests.fakes.telegram_delivery import UpdateSender
from tests.fakes.telegram_files import add_file, file_json
from tests.fakes.telegram_messages import (
    BOT_ID,
    GROUP,
    SUPERGROUPS,
    USER,
    Json,
    caption_fields,
    detected_entities,
    message_json,
)
from tests.fakes.telegram_state import TelegramChat, TelegramFile, TelegramMessageView, TelegramState

MEDIA_KINDS = ("photo", "document", "voice", "audio", "video", "video_note", "animation", "sticker")


class TelegramUsers:
    """Actions of users; callable from any thread."""

    def __init__(self, state: TelegramState, sender: UpdateSender) -> None:
        self._state = state
        self._sender = sender

    # ------------------------------------------------------------ chats

    def add_chat(self, chat: Json | int, *, business: str = "") -> None:
        """Adds a chat in which the bot may post; also created by the first message in it."""
        with self._state.notify():
            self._state.ensure_chat(chat, business=business)

    def add_topic(self, chat_id: int, thread: int) -> None:
        with self._state.notify():
            self._state.ensure_chat(chat_id, thread)

    def delete_topic(self, chat_id: int, thread: int) -> None:
        """Deletes a topic with its messages; the bot is not notified."""
        with self._state.notify():
            chat = self._state.find_chat(chat_id)
            del chat.topics[thread]
            chat.messages = {key: entry for key, entry in chat.messages.items() if entry.view.thread != thread}

    def block(self, chat_id: int = USER, *, notify_bot: bool = True) -> None:
        """A user blocks the bot. ``notify_bot``: whether an update says so, or only the error of the next call."""
        self._set_access(chat_id, "bot was blocked by the user", updates.bot_blocked(chat_id), notify_bot=notify_bot)

    def unblock(self, chat_id: int = USER, *, notify_bot: bool = True) -> None:
        self._set_access(chat_id, "", updates.bot_unblocked(chat_id), notify_bot=notify_bot)

    def remove_bot(self, chat_id: int = GROUP, *, kicked: bool = True, notify_bot: bool = True) -> None:
        """The bot is kicked from a group, or has left it."""
        kind = "supergroup" if chat_id < SUPERGROUPS else "group"
        why = f"bot was kicked from the {kind} chat" if kicked else f"bot is not a member of the {kind} chat"
        self._set_access(chat_id, why, updates.bot_removed(chat_id, kicked=kicked), notify_bot=notify_bot)

    def add_bot(self, chat_id: int = GROUP, *, notify_bot: bool = True) -> None:
        """The bot is added to a group."""
        self._set_access(chat_id, "", updates.bot_added(chat_id), notify_bot=notify_bot)

    def _set_access(self, chat_id: int, forbidden_reason: str, member: Json, *, notify_bot: bool) -> None:
        with self._state.notify():
            self._state.ensure_chat(chat_id).forbidden_reason = forbidden_reason
        if notify_bot:
            self._push(my_chat_member=member)

    def migrate(self, chat_id: int, to: int, *, notify_bot: bool = True) -> None:
        """A group becomes a supergroup with the id ``to``."""
        with self._state.notify():
            self._state.ensure_chat(chat_id).migrated_to = to
            self._state.ensure_chat(to)
        if notify_bot:
            self._push(message=updates.migrated_to(chat_id, to))
            self._push(message=updates.migrated_from(to, chat_id))

    # ------------------------------------------------------------ messages

    def user_says(
        self,
        text: str = "",
        *,
        chat_id: int = USER,
        user: Json | int | None = None,
        thread: int | None = None,
        reply_to: int | None = None,
        entities: Sequence[Json] | None = None,
        business: str = "",
        **more: Any,
    ) -> int:
        """A user posts a message; returns its message_id.

        ``more``: a file from ``add_file`` as ``photo``, ``document`` or ``voice``, with the text as its caption; and
        any other field of a message, ``media_group_id`` for an album item.
        """
        with self._state.notify():
            chat = self._state.ensure_chat(chat_id, thread, business)
            files = {
                kind: file_json(more.pop(kind)) for kind in MEDIA_KINDS if isinstance(more.get(kind), TelegramFile)
            }
            under = caption_fields(text, entities) if files else {}
            written = message_json(
                "" if files else text,
                chat=chat.json,
                user=user,
                message_id=chat.last_message_id + 1,
                thread=thread,
                reply_to=None if reply_to is None else chat.messages[reply_to].json,
                entities=entities,
                business=business,
                **{**files, **under, **more},
            )
        return self.push_message(written)

    def push_message(self, message: Json) -> int:
        """Posts any message as ``telegram_updates`` builds them; returns its message_id."""
        kind = _update_kind(message)
        self._store(message)
        self._push(**{kind: message})
        message_id: int = message["message_id"]
        return message_id

    def user_edits(self, message_id: int, text: str, *, chat_id: int = USER, business: str = "") -> None:
        """A user edits their message, or the caption of a file."""
        with self._state.notify():
            entry = self._state.find_chat(chat_id, business).messages[message_id]
            name = "caption" if entry.view.files else "text"
            marks = "caption_entities" if entry.view.files else "entities"
            kept = {key: value for key, value in entry.json.items() if key != marks}
            marked = detected_entities(text)
            json = kept | {name: text, "edit_date": int(time.time())} | ({marks: marked} if marked else {})
            shown = replace(entry.view, text=text, entities=tuple(marked), edited=True)
            self._state.find_chat(chat_id, business).put_message(shown, json)
        self._push(**{f"edited_{_update_kind(json)}": json})

    def user_deletes(self, message_id: int, *, chat_id: int = USER, business: str = "") -> None:
        """Deletes a message; the bot is only notified in a business chat."""
        with self._state.notify():
            chat = self._state.find_chat(chat_id, business)
            del chat.messages[message_id]
        if business:
            gone = {"business_connection_id": business, "chat": chat.json, "message_ids": [message_id]}
            self._push(deleted_business_messages=gone)

    def press_button(self, data: str, *, message_id: int, chat_id: int = USER, user: int = USER) -> str:
        """A user presses a button of a message; returns the id of the callback_query."""
        with self._state.lock:
            under = self._state.find_chat(chat_id).messages[message_id].json
        query = updates.button_pressed(data, on=under, user=user) | {"id": f"q{next(self._state.ids)}"}
        self._push(callback_query=query)
        return str(query["id"])

    def press_stop(self, chat_id: int, draft_id: int, thread: int | None = None) -> None:
        """A user presses Stop on a draft. Raises AssertionError if the draft is not visible or cannot be stopped."""
        with self._state.notify():
            chat = self._state.find_chat(chat_id)
            draft = next(
                (d for d in self._state.visible_drafts(chat) if (d.thread, d.draft_id) == (thread, draft_id)), None
            )
            assert draft is not None, f"no draft {draft_id} is visible in chat {chat_id}, topic {thread}"
            assert draft.can_stop, f"the draft {draft_id} has no Stop button"
            if not draft.keep_on_stop:
                del chat.drafts[thread, draft_id]
        self._push(stopped_message_generation=updates.generation_stopped(chat.json, draft_id, thread))

    # ------------------------------------------------------------ files

    def add_file(
        self,
        content: bytes,
        name: str = "photo.jpg",
        *,
        kind: str = "photo",
        mime_type: str = "",
        size: int | None = None,
    ) -> TelegramFile:
        """Stores a file for a user to send; ``size`` if it is to be reported larger than ``content``."""
        with self._state.notify():
            return add_file(self._state, content, kind, name, mime_type=mime_type, size=size)

    # ------------------------------------------------------------ updates

    def push_update(self, update: Json) -> int:
        """Queues any update as it is, and adds a message in it to its chat; returns its update_id."""
        for written in update.values():
            if isinstance(written, dict) and _is_message(written):
                self._store(written)
        self._sender.push(update)
        update_id: int = update["update_id"]
        return update_id

    def redeliver(self, update: Json) -> None:
        """Queues an update again, whether it was acknowledged or not."""
        self._sender.push(update, ignores_offset=True)

    def _push(self, **kind: Any) -> None:
        self._sender.push(updates.update(**kind))

    def _store(self, written: Json) -> None:
        with self._state.notify():
            thread = written.get("message_thread_id") if written.get("is_topic_message") else None
            chat = self._state.ensure_chat(written["chat"], thread, written.get("business_connection_id", ""))
            chat.put_message(_view_of(self._state, chat, written), written)


def _is_message(written: Json) -> bool:
    chat = written.get("chat")
    if not isinstance(chat, dict) or not isinstance(chat.get("id"), int) or not isinstance(chat.get("type"), str):
        return False
    return isinstance(written.get("message_id"), int) and "date" in written


def _update_kind(written: Json) -> str:
    if written.get("business_connection_id"):
        return "business_message"
    return "channel_post" if written["chat"]["type"] == "channel" else "message"


def _view_of(state: TelegramState, chat: TelegramChat, written: Json) -> TelegramMessageView:
    told = written.get("text") or written.get("caption") or ""
    marks = written.get("entities") or written.get("caption_entities") or ()
    user = (written.get("from") or {}).get("id", 0)
    replied = written.get("reply_to_message") or {}
    return TelegramMessageView(
        message_id=written["message_id"],
        chat_id=chat.id,
        thread=written.get("message_thread_id") if written.get("is_topic_message") else None,
        text=told,
        entities=tuple(marks),
        from_bot=user == BOT_ID,
        user=user,
        reply_to=replied.get("message_id"),
        edited="edit_date" in written,
        files=tuple(filter(None, (_file_of(state, written.get(kind)) for kind in MEDIA_KINDS))),
        markup=written.get("reply_markup"),
    )


def _file_of(state: TelegramState, told: Any) -> TelegramFile | None:
    """Returns the stored file of a message field; of a photo the largest size."""
    one = told[-1] if isinstance(told, list) and told else told
    return state.files.get(one.get("file_id", "")) if isinstance(one, dict) else None
