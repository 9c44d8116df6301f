"""What a server turned out not to take for a model: learned from its refusals, left out from then on, and told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from gateway import logs
from gateway.assistants.attachments import FILE_NOT_ACCEPTED, BinaryPart, MessagePart, unreadable
from gateway.assistants.errors import server_sentences as sentences
from gateway.assistants.errors.error_map import BadRequest, ImagesRefused

log = logs.get_logger(__name__)


class Feature(StrEnum):
    """Something in a request that not every server takes. The values are for the operator."""

    TOOLS = "tools"
    HOSTED_TOOLS = "hosted tools"
    SYSTEM_ROLE = "system role"
    ROLES_IN_ANY_ORDER = "several messages of one role in a row"
    EMPTY_TEXT = "empty text beside tool calls"
    IMAGES = "images"
    DOCUMENTS = "documents"
    TRANSCRIPTION = "transcription of voice"
    NO_REASONING_TEXT = "messages without reasoning_content"
    REASONING_WITH_TOOLS = "reasoning beside tools"
    STORED = "stored responses"


BY_SENTENCE: tuple[tuple[re.Pattern[str], Feature], ...] = (
    (
        re.compile(r"\b(?:web_search|file_search|code_interpreter|image_generation)|\bmcp\b", re.IGNORECASE),
        Feature.HOSTED_TOOLS,
    ),
    (sentences.NO_TOOLS, Feature.TOOLS),
    (re.compile(r"(?<![\w.])tools\b(?! must)", re.IGNORECASE), Feature.TOOLS),
    (sentences.NO_SYSTEM_ROLE, Feature.SYSTEM_ROLE),
    (sentences.MUST_ALTERNATE, Feature.ROLES_IN_ANY_ORDER),
    (sentences.NO_EMPTY_TEXT, Feature.EMPTY_TEXT),
    (sentences.NEEDS_REASONING, Feature.NO_REASONING_TEXT),
    (sentences.NOT_STORED, Feature.STORED),
    (sentences.NO_DOCUMENTS, Feature.DOCUMENTS),
)
WITH_REASONING = re.compile(r"\breasoning_effort\b")
"""OpenAI's models from gpt-5.6 on call functions in chat completions only if reasoning is switched off explicitly
(github.com/livekit/agents/pull/7169)."""

LOSES_FUNCTION = frozenset(
    {Feature.TOOLS, Feature.HOSTED_TOOLS, Feature.IMAGES, Feature.DOCUMENTS, Feature.TRANSCRIPTION, Feature.SYSTEM_ROLE}
)


class ServerLimits(dict[str, str]):
    """The features and fields that a server refused for one model, with its refusals. Kept until the process ends."""

    @property
    def note_text(self) -> str:
        """What is left out, for the operator, that which costs function first; empty if nothing is."""
        lost = [name for name in self if name in LOSES_FUNCTION]
        rest = [name for name in self if name not in LOSES_FUNCTION]
        without = f"; WITHOUT {', '.join(lost)}: the server refuses them for this model" if lost else ""
        return without + (f"; left out, as the server refuses it: {', '.join(rest)}" if rest else "")

    def accepted(self, parts: Sequence[MessagePart]) -> list[MessagePart]:
        """Returns the parts of a message with those that the model does not take replaced by a note."""
        return [
            unreadable(part.name, FILE_NOT_ACCEPTED)
            if isinstance(part, BinaryPart) and (Feature.IMAGES if part.is_image else Feature.DOCUMENTS) in self
            else part
            for part in parts
        ]

    def learn(
        self,
        error: BadRequest,
        *,
        features: Iterable[Feature] = (),
        fields: Iterable[str] = (),
        unknown_fields: Iterable[str] = (),
    ) -> bool:
        """Notes what the error refuses, if it is among what the request had. Returns whether a repetition makes sense.

        ``fields``: names of fields that can be left out; ``unknown_fields``: of those that the server may not know, and
        whose values it may refuse too.
        """
        what = f"{error.param} {error}"
        found = next((name for name in _refused_features(error, what) if name in set(features)), None)
        if sentences.NOT_KNOWN_FIELD.search(what):
            fields = (*fields, *unknown_fields)
        name = found or next((field for field in fields if _names(what, error.param, field)), None)
        if name is not None:
            self.note(name, error)
        return name is not None

    def note(self, name: str, reason: object) -> None:
        """Notes that something is left out from now on, and tells the operator once."""
        if name not in self:
            self[name] = str(reason)
            tell = log.error if name in LOSES_FUNCTION else log.warning
            tell("the server refuses a part of the request; it is left out from now on", part=name, error=str(reason))


def features_of_files(parts: Iterable[MessagePart]) -> set[Feature]:
    """Returns what a model may refuse of the files of a message."""
    files = (part for part in parts if isinstance(part, BinaryPart))
    return {Feature.IMAGES if part.is_image else Feature.DOCUMENTS for part in files}


def _refused_features(error: BadRequest, what: str) -> list[Feature]:
    found = [feature for pattern, feature in BY_SENTENCE if pattern.search(what)]
    if isinstance(error, ImagesRefused):
        found.append(Feature.IMAGES)
    if WITH_REASONING.search(what):
        found.insert(0, Feature.REASONING_WITH_TOOLS)
    return found


def _names(what: str, param: str, field: str) -> bool:
    """Returns whether an error names a field: as its parameter, or else as a word of its sentence."""
    if param:
        return re.split(r"[.\[]", param)[-1 if param.startswith("messages") else 0] == field
    return re.search(rf"(?<![\w]){re.escape(field)}(?!\w)", what, re.IGNORECASE) is not None
