"""User actions in the fake Telegram, and the updates they send to the bot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.fakes import telegram_updates as updates
from tests.fakes.telegram_delivery import Post
from tests.fakes.telegram_files import file_json, keep
from tests.fakes.telegram_messages import BOT_ID, GROUP, SUPERGROUPS, USER, Json, captioned, found, message
from tests.fakes.telegram_state import Chat, File, Shown, World

MEDIA = ("photo", "document", "voice", "audio", "video", "video_note", "animation", "sticker")


class People:
    """Actions of users; callable from any thread."""

    def __init__(self, world: World, post: Post) -> None:
        self._world = world
        self._post = post

    # ------------------------------------------------------------ chats

    def add_chat(self, chat: Json | int, *, business: str = "") -> None:
        """Adds a chat in which the bot may post; also created by the first message in it."""
        with self._world.change():
            self._world.enter(chat, business=business)

    def add_topic(self, chat_id: int, thread: int) -> None:
        with self._world.change():
            self._world.enter(chat_id, thread)

    def delete_topic(self, chat_id: int, thread: int) -> None:
        """Deletes a topic with its messages; the bot is not notified."""
        with self._world.change():
            chat = self._world.chat(chat_id)
            del chat.topics[thread]
            chat.entries = {key: entry for key, entry in chat.entries.items() if entry.shown.thread != thread}

    def block(self, chat_id: int = USER, *, told: bool = True) -> None:
        """A user blocks the bot. ``notify_bot``: whether an update says so, or only the error of the next call."""
        self._shut_out(chat_id, "bot was blocked by the user", updates.blocked(chat_id), told=told)

    def unblock(self, chat_id: int = USER, *, told: bool = True) -> None:
        self._shut_out(chat_id, "", updates.unblocked(chat_id), told=told)

    def remove(self, chat_id: int = GROUP, *, kicked: bool = True, told: bool = True) -> None:
        """The bot is kicked from a group, or has left it."""
        kind = "supergroup" if chat_id < SUPERGROUPS else "group"
        why = f"bot was kicked from the {kind} chat" if kicked else f"bot is not a member of the {kind} chat"
        self._shut_out(chat_id, why, updates.removed(chat_id, kicked=kicked), told=told)

    def add(self, chat_id: int = GROUP, *, told: bool = True) -> None:
        """The bot is added to a group."""
        self._shut_out(chat_id, "", updates.added(chat_id), told=told)

    def _shut_out(self, chat_id: int, why: str, member: Json, *, told: bool) -> None:
        with self._world.change():
            self._world.enter(chat_id).shut_out = why
        if told:
            self._tell(my_chat_member=member)

    def migrate(self, chat_id: int, to: int, *, told: bool = True) -> None:
        """A group becomes a supergroup with the id ``to``."""
        with self._world.change():
            self._world.enter(chat_id).migrated_to = to
            self._world.enter(to)
        if told:
            self._tell(message=updates.migrated_to(chat_id, to))
            self._tell(message=updates.migrated_from(to, chat_id))

    # ------------------------------------------------------------ messages

    def say(
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
        with self._world.change():
            chat = self._world.enter(chat_id, thread, business)
            files = {kind: file_json(more.pop(kind)) for kind in MEDIA if isinstance(more.get(kind), File)}
            under = captioned(text, entities) if files else {}
            written = message(
                "" if files else text,
                chat=chat.json,
                user=user,
                message_id=chat.last + 1,
                thread=thread,
                reply_to=None if reply_to is None else chat.entries[reply_to].json,
                entities=entities,
                business=business,
                **{**files, **under, **more},
            )
        return self.post(written)

    def post(self, written: Json) -> int:
        """Posts any message as ``telegram_updates`` builds them; returns its message_id."""
        kind = _kind(written)
        self._notice(written)
        self._tell(**{kind: written})
        message_id: int = written["message_id"]
        return message_id

    def edit(self, message_id: int, text: str, *, chat_id: int = USER, business: str = "") -> None:
        """A user edits their message, or the caption of a file."""
        with self._world.change():
            entry = self._world.chat(chat_id, business).entries[message_id]
            name = "caption" if entry.shown.files else "text"
            marks = "caption_entities" if entry.shown.files else "entities"
            kept = {key: value for key, value in entry.json.items() if key != marks}
            marked = found(text)
            json = kept | {name: text, "edit_date": int(time.time())} | ({marks: marked} if marked else {})
            shown = replace(entry.shown, text=text, entities=tuple(marked), edited=True)
            self._world.chat(chat_id, business).put(shown, json)
        self._tell(**{f"edited_{_kind(json)}": json})

    def erase(self, message_id: int, *, chat_id: int = USER, business: str = "") -> None:
        """Deletes a message; the bot is only notified in a business chat."""
        with self._world.change():
            chat = self._world.chat(chat_id, business)
            del chat.entries[message_id]
        if business:
            gone = {"business_connection_id": business, "chat": chat.json, "message_ids": [message_id]}
            self._tell(deleted_business_messages=gone)

    def press(self, data: str, *, message_id: int, chat_id: int = USER, user: int = USER) -> str:
        """A user presses a button of a message; returns the id of the callback_query."""
        with self._world.lock:
            under = self._world.chat(chat_id).entries[message_id].json
        query = updates.pressed(data, on=under, user=user) | {"id": f"q{next(self._world.numbers)}"}
        self._tell(callback_query=query)
        return str(query["id"])

    def stop_draft(self, chat_id: int, draft_id: int, thread: int | None = None) -> None:
        """A user presses Stop on a draft. Raises AssertionError if the draft is not visible or cannot be stopped."""
        with self._world.change():
            chat = self._world.chat(chat_id)
            draft = next((d for d in self._world.drafts(chat) if (d.thread, d.draft_id) == (thread, draft_id)), None)
            assert draft is not None, f"no draft {draft_id} is visible in chat {chat_id}, topic {thread}"
            assert draft.can_stop, f"the draft {draft_id} has no Stop button"
            if not draft.keep_on_stop:
                del chat.drafts[thread, draft_id]
        self._tell(stopped_message_generation=updates.stopped(chat.json, draft_id, thread))

    # ------------------------------------------------------------ files

    def keep(
        self,
        content: bytes,
        name: str = "photo.jpg",
        *,
        kind: str = "photo",
        mime_type: str = "",
        size: int | None = None,
    ) -> File:
        """Stores a file for a user to send; ``size`` if it is to be reported larger than ``content``."""
        with self._world.change():
            return keep(self._world, content, kind, name, mime_type=mime_type, size=size)

    # ------------------------------------------------------------ updates

    def push(self, update: Json) -> int:
        """Queues any update as it is, and adds a message in it to its chat; returns its update_id."""
        for written in update.values():
            if isinstance(written, dict) and _is_message(written):
                self._notice(written)
        self._post.push(update)
        update_id: int = update["update_id"]
        return update_id

    def redeliver(self, update: Json) -> None:
        """Queues an update again, whether it was acknowledged or not."""
        self._post.push(update, again=True)

    def _tell(self, **kind: Any) -> None:
        self._post.push(updates.update(**kind))

    def _notice(self, written: Json) -> None:
        with self._world.change():
            thread = written.get("message_thread_id") if written.get("is_topic_message") else None
            chat = self._world.enter(written["chat"], thread, written.get("business_connection_id", ""))
            chat.put(_shown(self._world, chat, written), written)


def _is_message(written: Json) -> bool:
    chat = written.get("chat")
    if not isinstance(chat, dict) or not isinstance(chat.get("id"), int) or not isinstance(chat.get("type"), str):
        return False
    return isinstance(written.get("message_id"), int) and "date" in written


def _kind(written: Json) -> str:
    if written.get("business_connection_id"):
        return "business_message"
    return "channel_post" if written["chat"]["type"] == "channel" else "message"


def _shown(world: World, chat: Chat, written: Json) -> Shown:
    told = written.get("text") or written.get("caption") or ""
    marks = written.get("entities") or written.get("caption_entities") or ()
    user = (written.get("from") or {}).get("id", 0)
    replied = written.get("reply_to_message") or {}
    return Shown(
        message_id=written["message_id"],
        chat_id=chat.id,
        thread=written.get("message_thread_id") if written.get("is_topic_message") else None,
        text=told,
        entities=tuple(marks),
        from_bot=user == BOT_ID,
        user=user,
        reply_to=replied.get("message_id"),
        edited="edit_date" in written,
        files=tuple(filter(None, (_file(world, written.get(kind)) for kind in MEDIA))),
        markup=written.get("reply_markup"),
        group_id=written.get("media_group_id", ""),
    )


def _file(world: World, told: Any) -> File | None:
    """Returns the stored file of a message field; of a photo the largest size."""
    one = told[-1] if isinstance(told, list) and told else told
    return world.files.get(one.get("file_id", "")) if isinstance(one, dict) else None
