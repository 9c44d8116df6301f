"""The state of one turn at a server of the Responses API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.assistants.attachments import load, without_files
from gateway.assistants.history.exchanges import with_turn
from gateway.assistants.history.past import PastOfTurn
from gateway.assistants.json_fields import as_objects, as_text, counted_usage
from gateway.assistants.replies.accumulator import MESSAGE_SEPARATOR, ReplyAccumulator
from gateway.assistants.replies.filter import PLAIN, ReplyFilters
from gateway.assistants.replies.refusals import deltas_of, refusal_in
from gateway.assistants.requests.server_limits import Feature, ServerLimits, features_of_files
from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.responses.items import (
    ReadMessage,
    call_item,
    exchange_items,
    failure_of,
    files_in,
    is_cut_off,
    message_item,
    output_item,
    output_items,
    read_messages,
    returned_items,
    text_calls,
    to_return,
    unanswered_calls,
    with_call_ids,
    with_head,
    without_output_files,
)
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import FunctionCall, parts_for_model, ran_calls
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import ThreadId, Turn, Usage
from gateway.domain.run_events import RunEvent, UsageCounted
from gateway.ports.assistant import HistoryLoader
from gateway.tools import ToolResult


@dataclass
class ResponseRunState:
    """State of one turn during one call of run or resume."""

    turn: Turn
    thread_id: ThreadId
    history: HistoryLoader
    transcripts: Transcripts
    filters: ReplyFilters = PLAIN
    limits: ServerLimits = field(default_factory=ServerLimits)
    file_features: set[Feature] = field(default_factory=set)
    """What the model may refuse of the files of the message."""
    past: PastOfTurn | None = None
    """The history to send along; None where the server keeps it in a conversation."""
    message_without_files: Json | None = None
    """The message without its files, as long as the server may still reject them."""
    accumulator: ReplyAccumulator = field(default_factory=ReplyAccumulator)
    reported_calls: set[tuple[str, bool]] = field(default_factory=set)
    usage: Usage = field(default_factory=Usage)
    counted_ids: set[str] = field(default_factory=set)
    model: str = ""
    """The model that answered, as the server names it."""
    response: Json = field(default_factory=dict)
    """The newest finished response."""
    said: list[ReadMessage] = field(default_factory=list)
    """Its messages, if they were read while it was received."""
    message: Json = field(default_factory=dict)
    """The item with the turn's message; empty as long as it was not made, and for one with nothing but results."""
    outputs: list[Json] = field(default_factory=list)
    """The items with results that go before the message, where the server keeps the history."""
    since_message: list[Json] = field(default_factory=list)
    """The items after the message, which are sent along where the server keeps no history."""
    files: dict[str, File] = field(default_factory=dict)
    """Files that the assistant made, by reference."""
    cut_off: bool = False
    refusal: str = ""
    """What the newest message refuses with."""
    calls: list[FunctionCall] = field(default_factory=list)
    """The calls that the newest response waits for."""
    matched_calls: bool = False
    """Whether the items to post were made to match the calls of the conversation."""
    may_be_late: bool = False
    """Whether an earlier attempt may have answered since it was looked for."""
    rounds: list[CallRound] = field(default_factory=list)
    """The rounds of calls so far, where the server keeps no history."""
    said_chars: int = 0
    """How much of the text was said before the newest round."""

    def take_said(self) -> str:
        """Returns what was said since it was last taken."""
        said, self.said_chars = self.accumulator.text[self.said_chars :], len(self.accumulator.text)
        return said.removeprefix(MESSAGE_SEPARATOR)

    def count_usage(self) -> UsageCounted | None:
        """Adds the tokens of the newest response. Returns the event for them; None without any."""
        counted = counted_usage(self.response)
        if counted is None or counted.run_id in self.counted_ids:
            return None
        self.counted_ids.add(counted.run_id)
        self.usage += counted.usage
        self.model = counted.model or self.model
        return counted if counted.model else replace(counted, model=self.model)

    def take_results(self) -> Iterator[RunEvent]:
        """Yields the events for the results of the response, and sets ``calls``. Raises AssistantError if it failed."""
        if counted := self.count_usage():
            yield counted
        self.calls = self.apply_response()
        yield from deltas_of(self.accumulator.take_unshown(), self.refusal)

    def apply_response(self) -> list[FunctionCall]:
        """Adds the results of the response. Returns the calls it waits for. Raises AssistantError if it failed."""
        items = with_call_ids(as_objects(self.response.get("output")))
        self.cut_off = is_cut_off(self.response)
        if not self.cut_off and (error := failure_of(self.response)):
            raise error
        self.model = as_text(self.response.get("model")) or self.model
        said, self.said = self.said or read_messages(items, self.filters), []
        for item, reply in said:
            self.accumulator.add_message(reply.text)
            self.refusal = refusal_in(item)
        name = as_text(self.response.get("id"))
        origin = f"response {name}" if name else f"conversation {self.thread_id}"
        self.files |= {file.reference: file for file in files_in(items, origin)}
        self.message_without_files = None
        calls = [] if self.cut_off else [*unanswered_calls(items), *text_calls(said)]
        if calls:  # else nothing is posted after it
            self.since_message += returned_items(items)
        return calls

    def items_with_outputs(self, calls: list[FunctionCall], outputs: Mapping[str, ToolResult]) -> list[Json]:
        """Returns the items to post after tools ran; a call that came as text becomes an item first."""
        known = {item.get("call_id") for item in self.since_message}
        made = [call_item(call) for call in calls if call.id not in known]
        items = [*made, *(self._output_item(call_id, result) for call_id, result in outputs.items())]
        self.since_message += items
        if self.past is not None:
            self.rounds.append(ran_calls(calls, outputs, self.take_said()))
        return items

    def _output_item(self, call_id: str, result: ToolResult) -> Json:
        return output_item(call_id, result.text, self.limits.accepted(parts_for_model([result])))

    def returned_with(self, calls: Sequence[RequestedCall]) -> str:
        """Returns what goes back with calls that end the turn, where the server keeps no history."""
        return to_return(as_objects(self.response.get("output")), calls) if calls and self.past is not None else ""

    def to_input(self, items: list[Json]) -> list[Json]:
        """Returns the input of a request: ``items``, or all that was said where the server keeps no history."""
        if self.past is None:
            return items
        *past, asked = with_turn(self.past.exchanges, self.turn)
        earlier = [item for exchange in past for item in exchange_items(exchange)]
        head = asked.text.removesuffix(self.turn.message.text_with_attachments).strip()
        message = [self.message] if self.message else []
        said = with_head(message, head) if head else message
        return [*earlier, *output_items(asked), *said, *self.since_message]

    async def message_items(self) -> list[Json]:
        """Makes the item of the turn's message, and returns the items to post."""
        said = self.turn.message.text_with_attachments
        parts = self.limits.accepted(await load(self.turn, self.transcripts.load))
        words, self.file_features = without_files(parts), features_of_files(parts)
        self.message_without_files = None if words is None else message_item(said, words)
        if said or parts or not self.turn.options.outputs:
            self.message = message_item(said, parts)
        return [*self.outputs, *([self.message] if self.message else [])]

    def fall_back_without_files(self, items: list[Json] | None) -> list[Json] | None:
        """Returns the items to post after a rejection of others: without files; None if there were none."""
        if items and (plain := without_output_files(items)) != items:
            self.since_message = without_output_files(self.since_message)
            return plain
        if items is None or self.message_without_files is None:
            return None
        refused, self.message = self.message, self.message_without_files
        self.message_without_files, self.file_features = None, set()
        return [self.message if item is refused else item for item in items]
