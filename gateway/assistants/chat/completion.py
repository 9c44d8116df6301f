"""One answer of a chat completion, assembled from its chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from gateway.assistants.chat.calls import CallAssembler, ReceivedCall
from gateway.assistants.chat.deltas import merge
from gateway.assistants.chat.images import image_link
from gateway.assistants.errors.error_map import Filtered, error_from_object, error_in
from gateway.assistants.json_fields import as_object, as_objects, as_text, as_usage
from gateway.assistants.replies.filter import ReplyFilter
from gateway.assistants.sse import END, Event, Json
from gateway.domain.errors import AssistantUnavailable
from gateway.domain.models import Usage
from gateway.domain.run_events import TextDelta

NOT_RETURNED = frozenset(
    {"content", "tool_calls", "function_call", "role", "refusal", "audio", "annotations", "images"}
)
"""Fields of a delta that do not go back as they came: those that are handled, and those that have no input form."""
TEXT_PARTS = frozenset({"", "text", "output_text"})
"""Types of the content parts that are said to people."""


class Ending(Enum):
    """How an answer ended."""

    COMPLETE = "complete"
    CUT_OFF = "cut off"
    FILTERED = "filtered"
    BROKEN = "broken"


ENDINGS: Mapping[Ending, tuple[str, ...]] = {
    Ending.CUT_OFF: (
        *("length", "max_", "model_length", "model_context_window", "context_length", "token_limit", "error_limit"),
    ),
    Ending.FILTERED: (
        *("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "image_", "model_armor"),
        *("sensitive", "error_toxic", "refusal", "guardrail"),
    ),
    Ending.BROKEN: (
        *("abort", "error", "cancelled", "timeout", "insufficient_system_resource", "network_error", "malformed"),
        "unexpected_tool_call",
    ),
}
"""How ``finish_reason`` begins, in any case. Every other value is a complete answer (``stop``, ``eos``).

Beside OpenAI's: Mistral ``model_length``; Gemini's names, also in capitals; DeepSeek ``insufficient_system_resource``;
vLLM ``abort``; Zhipu ``sensitive`` and ``network_error``; Anthropic ``refusal`` and ``model_context_window_exceeded``;
Bedrock ``guardrail_intervened``; Cohere ``ERROR_LIMIT`` and ``ERROR_TOXIC``."""


class CompletionAccumulator:
    """Assembles one answer from the events of its stream."""

    def __init__(self, reply: ReplyFilter | None = None) -> None:
        """``reply``: reads the text of the answer."""
        self.id = ""
        self.model = ""
        self.usage = Usage()
        self.calls: list[ReceivedCall] = []
        """Set when the answer is complete."""
        self.filter = reply or ReplyFilter()
        self.opened = False
        """Whether the server began to answer."""
        self._choice: Any = None
        """The number of the choice that is the answer; None: not known."""
        self._finish_reason = ""
        self._is_whole = False
        self._assembler = CallAssembler()
        self._fields: Json = {}
        self._long_texts: dict[str, list[str]] = {}
        self._parts: list[Json] = []
        self._refused: list[str] = []
        self.images: list[Json] = []
        """Parts with images for people."""

    @property
    def text(self) -> str:
        return self.filter.text

    @property
    def refusal(self) -> str:
        """What the model refuses with, with which the text ends."""
        return "".join(self._refused)

    @property
    def ending(self) -> Ending:
        """How the answer ended, as far as it was received."""
        reason = self._finish_reason.lower()
        found = (ending for ending, names in ENDINGS.items() if reason.startswith(names))
        return next(found, Ending.COMPLETE if reason or self._is_whole else Ending.BROKEN)

    def add_events(self, events: Iterable[Event]) -> Iterator[TextDelta]:
        """Adds events that came together. Yields the text for people in them, as one; also before an error.

        A refusal follows what is said. Raises AssistantError if an event reports an error.
        """
        pieces, refused = list[str](), len(self._refused)
        try:
            for event in events:
                self._add_event(event, pieces)
        except Exception:
            yield from self._feed(pieces, self._refused[refused:])
            raise
        yield from self._feed(pieces, self._refused[refused:])

    def _feed(self, pieces: list[str], refused: list[str]) -> Iterator[TextDelta]:
        yield TextDelta(self.filter.feed("".join(pieces)))
        if refused:
            yield TextDelta(self.filter.feed("".join(refused)), is_refusal=True)

    def _add_event(self, event: Event, pieces: list[str]) -> None:
        """Adds an event, and its text to ``pieces``."""
        if event == END:
            began = self.id or self._finish_reason or self.text or self._fields or any(pieces)
            self._is_whole = self._is_whole or bool(began)
            return
        chunk = event[1]
        if error := error_in(chunk):
            raise error
        self.id = self.id or as_text(chunk.get("id"))
        self.model = self.model or as_text(chunk.get("model"))
        self._add_usage(chunk.get("usage"))
        if choice := next(filter(self._is_first, as_objects(chunk.get("choices"))), None):
            self._add_choice(choice, pieces)

    def finish(self, used_ids: set[str]) -> str:
        """Ends the answer. Returns the rest of its text. Raises AssistantError if it is broken or was filtered."""
        ending = self.ending
        if ending is Ending.BROKEN:
            raise AssistantUnavailable(f"the answer was interrupted: {self._finish_reason or 'no reason given'}")
        if ending is Ending.FILTERED:
            raise Filtered(f"the answer was filtered: {self._finish_reason}")
        rest = self.filter.finish()
        if ending is Ending.COMPLETE:  # else the last call may lack an argument
            for name, arguments in self.filter.calls:
                self._assembler.add_call(name, arguments)
            self.calls = self._assembler.finish(used_ids)
        return rest

    def to_message(self) -> Json:
        """Returns the message to send back with the outputs of its calls: all that came, and the text for people.

        The text is a string, empty where none came: Ollama, llama.cpp and LM Studio refuse null beside calls
        (github.com/pydantic/pydantic-ai/issues/5206, lmstudio-ai/lmstudio-bug-tracker/issues/261), DeepSeek wants
        ``reasoning_content`` back (api-docs.deepseek.com/guides/thinking_mode), and content that came in parts with
        reasoning goes back in parts (Mistral).
        """
        content: Any = self.text
        if self._parts:
            content = [*self._parts, *([{"type": "text", "text": self.text}] if self.text else [])]
        fields = self._fields | {name: "".join(texts) for name, texts in self._long_texts.items()}
        calls = [one.message for one in self.calls]
        return {"role": "assistant", **_without_empty(fields), "content": content, "tool_calls": calls}

    @property
    def reasoning(self) -> str:
        """What the model thought, as far as the server reports it."""
        reported = next(("".join(self._long_texts[name]) for name in REASONING_FIELDS if name in self._long_texts), "")
        return "\n\n".join(filter(None, (reported, self.filter.reasoning)))

    def _is_first(self, choice: Json) -> bool:
        """Tells whether it is of the choice that came first, of several for one question. Some servers number none."""
        index = choice.get("index")
        if self._choice is None:
            self._choice = index
        return index is None or index == self._choice

    def _add_usage(self, usage: Any) -> None:
        if usage:
            self.usage = as_usage(usage)  # some servers send running totals: the last one counts

    def _add_choice(self, choice: Json, pieces: list[str]) -> None:
        if choice.get("error"):
            raise error_from_object(choice["error"])
        self._finish_reason = as_text(choice.get("finish_reason")) or self._finish_reason
        self._add_usage(choice.get("usage"))  # Moonshot (platform.moonshot.ai/docs/api/chat)
        message = as_object(choice.get("message"))
        self._is_whole = self._is_whole or bool(message)
        delta = as_object(choice.get("delta")) or message
        if "tool_calls" in delta or "function_call" in delta:
            self._add_calls(delta)
        self._keep(delta)
        if any(map(delta.get, REASONING_FIELDS)):
            self.filter.begin_in_text()
        pieces.append(self._text_of(delta.get("content")))
        if delta.get("refusal"):
            self._refused.append(as_text(delta["refusal"]))
        if "images" in delta or "audio" in delta:
            pieces += map(self._shown_image, as_objects(delta.get("images")))
            pieces.append(as_text(as_object(delta.get("audio")).get("transcript")))

    def _add_calls(self, delta: Json) -> None:
        """Adds tool calls, or the one call of the form before these; some servers send both."""
        calls, single = as_objects(delta.get("tool_calls")), as_object(delta.get("function_call"))
        for place, call in enumerate(calls):
            self._assembler.add_delta(call, place)
        if not calls and any(single.values()):
            self._assembler.add_delta({"index": 0, "function": single}, 0)

    def _keep(self, delta: Json) -> None:
        for name, value in delta.items():
            if name in NOT_RETURNED:
                continue
            if isinstance(value, str):
                self._long_texts.setdefault(name, []).append(value)
            else:
                merge(self._fields, {name: value})

    def _text_of(self, content: Any) -> str:
        """Returns the text of a string or of content parts; parts with reasoning are kept to go back."""
        if isinstance(content, str):
            return content
        said: list[str] = []
        for part in as_objects(content):
            if as_text(part.get("type")) in TEXT_PARTS:
                said.append(as_text(part.get("text")))
            elif part.get("type") == "refusal":
                self._refused.append(as_text(part.get("refusal")))
            elif part.get("type") == "image_url":
                said.append(self._shown_image(part))
            else:
                self._parts.append(part)
        return "".join(said)

    def _shown_image(self, part: Json) -> str:
        """Keeps an image for people. Returns what the text says of it: a link, if it is somewhere in the web."""
        if part in self.images:
            return ""
        self.images.append(part)
        return image_link(part)


REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")
"""DeepSeek, vLLM and llama.cpp; Ollama and OpenRouter; Ollama's own API; Copilot."""


def _without_empty(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in ("", [], {})}
