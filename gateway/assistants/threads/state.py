"""The state of one turn at a server of the Assistants API."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import logs
from gateway.assistants.json_fields import as_text, counted_usage
from gateway.assistants.replies.accumulator import ReplyAccumulator
from gateway.assistants.replies.filter import PLAIN, ReplyFilters
from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.sse import Json
from gateway.assistants.threads.items import RunEventReader, RunExpired, failure_of, is_final
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.errors import AssistantError
from gateway.domain.models import ThreadId, Turn, Usage
from gateway.domain.run_events import UsageCounted
from gateway.ports.assistant import HistoryLoader
from gateway.tools import ToolResult

PostRequest = tuple[str, Json]
"""A path and the body to POST."""

log = logs.get_logger(__name__)


@dataclass
class ThreadRunState:
    """State of one turn during one call of run or resume."""

    turn: Turn
    thread_id: ThreadId
    history: HistoryLoader
    transcripts: Transcripts
    filters: ReplyFilters = PLAIN
    message_without_files: Json | None = None
    """The message without its files, as long as the server may still reject them."""
    accumulator: ReplyAccumulator = field(default_factory=ReplyAccumulator)
    reader: RunEventReader = field(init=False)
    said: list[str] = field(default_factory=list)
    """The text of each message for people."""
    refusal: str = ""
    """What the newest message refuses with."""
    text_calls: list[FunctionCall] = field(default_factory=list)
    """Calls that the model wrote as text in the run that has ended."""
    outputs: dict[str, ToolResult] = field(default_factory=dict)
    """Outputs of function calls, by call id."""
    usage: Usage = field(default_factory=Usage)
    counted_ids: set[str] = field(default_factory=set)
    """The runs whose tokens are counted."""
    ended_others: bool = False
    """Whether runs of other turns, which waited for outputs, were ended."""
    ran_again: bool = False
    """Whether another run was started after one that expired."""

    def __post_init__(self) -> None:
        self.reader = RunEventReader(self.accumulator, self.filters)

    @property
    def model(self) -> str:
        return as_text(self.reader.run.get("model"))

    @property
    def tokens_used(self) -> Usage:
        """The tokens of the turn so far; of a run that has not ended, those of its finished steps."""
        return self.usage if is_final(self.reader.run) else self.usage + self.reader.step_usage

    def begin_run_with_outputs(self) -> Json:
        """Notes that another run begins. Returns the message that tells it the outputs of the calls in the text."""
        told = [f"[{call.name} returned]\n{self.outputs[call.id].text}" for call in self.text_calls]
        self.text_calls, files = [], self.reader.files
        self.reader = RunEventReader(self.accumulator, self.filters)
        self.reader.files = files
        return self._message_with_outputs(told)

    def message_with_held_outputs(self) -> Json:
        """Returns the message that tells a run what came of the calls that people were asked about."""
        return self._message_with_outputs(
            [f"[{call.name} {call.arguments} returned]\n{call.output}" for call in self.turn.rounds[-1].calls]
        )

    def _message_with_outputs(self, told: list[str]) -> Json:
        return {"role": "user", "content": "\n\n".join(told), "metadata": {"turn_id": self.marker}}

    @property
    def marker(self) -> str:
        """By what the runs and messages of the turn are found again: other ones after each round of calls."""
        rounds = len(self.turn.rounds)
        return f"{self.turn.id} {rounds}" if rounds else self.turn.id

    def may_run_again(self) -> bool:
        """Returns whether the run expired, for the first time, before anything was shown of it."""
        expired = isinstance(failure_of(self.reader.run) if is_final(self.reader.run) else None, RunExpired)
        if not expired or self.ran_again or self.accumulator.has_shown_text:
            return False
        self.ran_again = True
        return True

    def count_usage(self) -> UsageCounted | None:
        """Adds the tokens of the run when it has ended. Returns the event for them; None without any, or if counted."""
        counted = counted_usage(self.reader.run) if is_final(self.reader.run) else None
        if counted is None or counted.run_id in self.counted_ids:
            return None
        self.counted_ids.add(counted.run_id)
        self.usage += counted.usage
        return counted

    def fall_back_without_files(self, request: PostRequest, error: AssistantError) -> PostRequest | None:
        """Returns the request to send after a rejection: without files. None if there were none."""
        if self.message_without_files is None:
            return None
        log.info("server rejected the request; repeating it without files", turn=self.turn.id, error=str(error))
        path, body = request
        plain, self.message_without_files = self.message_without_files, None
        return path, {**body, "additional_messages": [plain]}
