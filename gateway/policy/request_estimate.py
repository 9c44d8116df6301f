"""Estimates the tokens of a request to the assistant: instructions, tools, history, message and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.domain.exchange import Exchange
from gateway.domain.files import Attachment, File
from gateway.domain.models import Message
from gateway.domain.turn_options import NO_OPTIONS
from gateway.policy.token_estimate import (
    UNKNOWN_SIZE,
    bytes_tokens,
    file_tokens,
    image_tokens,
    messages_tokens,
    text_tokens,
    tools_tokens,
)

UNSEEN_REPLY_TOKENS = 400
"""Assumed for a reply of which nothing is known, because the process that ran it died."""


class RequestEstimator:
    """Estimates requests of one assistant. No I/O."""

    def __init__(
        self,
        model: str = "",
        instructions: Callable[[Message], str] = lambda _: "",
        tools: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
        history_chars: int | None = None,
    ) -> None:
        """``instructions``: returns those for a message. ``tools``: returns what the assistant may call now.

        ``history_chars``: how many characters of the history a request carries; None: all.
        """
        self.model = model
        self._instructions = instructions
        self._tools = tools
        self._history_chars = history_chars

    def request_tokens(self, message: Message, history: Sequence[Exchange], attachment_tokens: int | None) -> int:
        """Returns the tokens of a turn's first request. ``attachment_tokens``: None if the files were not loaded."""
        options = message.options or NO_OPTIONS
        kept = history if options.past is not None else self._fitting(history)
        texts = [text for each in kept for text in (each.text, each.reply, *(one.output for one in each.outputs))]
        texts += [options.additional_instructions, *(each.output for each in options.outputs)]
        files = self._unloaded_tokens(message.files) if attachment_tokens is None else attachment_tokens
        functions = tools_tokens(options.functions)
        fixed = text_tokens(self._instructions(message)) + tools_tokens(self._tools()) + functions
        return fixed + messages_tokens([*texts, message.text_with_attachments]) + files

    def attachment_tokens(self, attachments: Iterable[Attachment]) -> int:
        """Returns the tokens of loaded files."""
        return sum(file_tokens(each.content, each.file.media_type, self.model) for each in attachments)

    def _unloaded_tokens(self, files: Iterable[File]) -> int:
        return sum(
            image_tokens(UNKNOWN_SIZE, self.model)
            if file.media_type.startswith("image/")
            else bytes_tokens(file.size, file.media_type)
            for file in files
        )

    def _fitting(self, history: Sequence[Exchange]) -> Sequence[Exchange]:
        """Returns the newest exchanges that a request carries."""
        left = float("inf") if self._history_chars is None else self._history_chars
        for kept, exchange in enumerate(reversed(history)):
            left -= len(exchange.text) + len(exchange.reply)
            if left < 0:
                return history[len(history) - kept :]
        return history
