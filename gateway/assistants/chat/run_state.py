"""The state of one turn at a server of chat completions, and what is tried when the server refuses a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.attachments import MessagePart, without_files
from gateway.assistants.chat.completion import CompletionAccumulator
from gateway.assistants.chat.messages import PreparedCompletion, RequestBuilder, is_tool_files
from gateway.assistants.errors.error_map import BadFile, Filtered, InputTooLong
from gateway.assistants.history.past import PastOfTurn, shorter_outputs
from gateway.assistants.replies.accumulator import ReplyAccumulator
from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError
from gateway.domain.exchange import CallRound
from gateway.domain.models import RunId, Turn, Usage
from gateway.domain.run_events import UsageCounted

log = logs.get_logger(__name__)


@dataclass
class ChatRunState:
    """State of one turn during one call of run or resume."""

    turn: Turn
    thread_id: str
    transcripts: Transcripts
    past: PastOfTurn = field(default_factory=lambda: PastOfTurn([]))
    message_parts: Sequence[MessagePart] = ()
    """The files of the message."""
    accumulator: ReplyAccumulator = field(default_factory=ReplyAccumulator)
    usage: Usage = field(default_factory=Usage)
    tool_messages: list[Json] = field(default_factory=list)
    """Messages with function calls and their outputs, sent after the user's message."""
    rounds: list[CallRound] = field(default_factory=list)
    """The same, as a turn keeps them that waits until people have approved a call."""
    call_ids: set[str] = field(default_factory=set)
    completion: CompletionAccumulator = field(default_factory=CompletionAccumulator)
    started: bool = False
    failures: int = 0
    """How often the answer of this round was lost."""
    requests: int = 0
    counted_ids: set[str] = field(default_factory=set)

    @property
    def model(self) -> str:
        return self.completion.model

    @property
    def message_text(self) -> str:
        return self.turn.message.text_with_attachments

    def build_request(self, builder: RequestBuilder) -> PreparedCompletion:
        return builder.build(self.past.exchanges, self.turn, self.message_parts, self.tool_messages)

    def count_usage(self) -> UsageCounted | None:
        """Adds the tokens of the last request, however it ended. Returns the event for them; None without any."""
        counted, self.completion.usage = self.completion.usage, Usage()
        if counted == Usage():
            return None
        self.usage += counted
        self.requests += 1
        name = self.completion.id or self.turn.id
        name = f"{name} {self.requests}" if name in self.counted_ids else name
        self.counted_ids.add(name)
        return UsageCounted(RunId(name), counted, self.completion.model)

    def reduce_input(self, error: AssistantError) -> bool:
        """Drops part of a rejected request. Returns whether there was something to drop."""
        if isinstance(error, Filtered):
            reduced = self.past.leave_out_filtered()
        elif isinstance(error, BadFile):
            reduced = self._drop_files()
        else:
            reduced = self.past.shorten(error) or self._shorten_outputs(error) or self._drop_files()
        if reduced:
            log.info(
                "the server refuses the request; repeating it with less",
                turn=self.turn.id,
                exchanges=len(self.past.exchanges),
                error=str(error),
            )
        return reduced

    def _shorten_outputs(self, error: AssistantError) -> bool:
        shorter = shorter_outputs(self.tool_messages) if isinstance(error, InputTooLong) else None
        self.tool_messages = self.tool_messages if shorter is None else shorter
        return shorter is not None

    def _drop_files(self) -> bool:
        words = without_files(self.message_parts)
        self.message_parts = self.message_parts if words is None else words
        return self.drop_tool_files() or words is not None

    def drop_tool_files(self) -> bool:
        """Drops the files that tools returned. Returns whether there were any."""
        kept = [message for message in self.tool_messages if not is_tool_files(message)]
        dropped = len(kept) < len(self.tool_messages)
        self.tool_messages = kept
        return dropped
