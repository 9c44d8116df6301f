"""Files that a member of the staff has posted for the person in a conversation, on whichever platform that is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message

PREFIX = "staff "
"""Of the references of these files."""


def passed_on(message: Message) -> Sequence[File]:
    """Returns the files of a message as files of a reply elsewhere: each knows the message that it is from."""
    source = {"key": asdict(message.key), "message": message.message_id, "address": dict(message.address)}
    return [
        replace(file, reference=PREFIX + json.dumps({**source, "reference": file.reference})) for file in message.files
    ]


def source_of(file: File) -> Message | None:
    """Returns the message that a file is from, with this file only; None for any other file."""
    if not file.reference.startswith(PREFIX):
        return None
    source = json.loads(file.reference.removeprefix(PREFIX))
    files = (replace(file, reference=source["reference"]),)
    return Message(ConversationKey(**source["key"]), source["message"], "", address=source["address"], files=files)
