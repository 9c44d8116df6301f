"""What an earlier attempt at a turn left at the server: its response, or items of the conversation."""

from __future__ import annotations

from contextlib import aclosing, suppress

from gateway import logs
from gateway.assistants.errors.error_map import BadFile, CallsUnmatched
from gateway.assistants.json_fields import as_objects
from gateway.assistants.responses.conversations import ServerConversations
from gateway.assistants.responses.items import failure_of, files_in, first_text, reply_texts, unanswered_calls
from gateway.assistants.responses.local_threads import is_local
from gateway.assistants.responses.matching_calls import matched, result_ids
from gateway.assistants.responses.requests import ServerResponses
from gateway.assistants.responses.state import ResponseRunState
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantRateLimited, AssistantUnavailable
from gateway.domain.models import RunId
from gateway.ports.assistant import HistoryLoader

log = logs.get_logger(__name__)


class EarlierAttempts:
    """Looks at one server for what earlier attempts left there."""

    def __init__(self, responses: ServerResponses, conversations: ServerConversations) -> None:
        self._responses = responses
        self._conversations = conversations

    async def items_to_resume_with(self, state: ResponseRunState, run_id: RunId | None) -> list[Json] | None:
        """Returns the items still to post; None if ``state.response`` was found and is to be continued."""
        message = await state.message_items() if is_local(state.thread_id) else None
        if run_id is not None:
            with suppress(AssistantUnavailable):  # lost: then the conversation shows whether it completed
                response = await self._responses.wait_until_final(run_id)
                if not isinstance(failure_of(response), AssistantUnavailable | AssistantRateLimited | BadFile):
                    return await self._continue_from_response(state, response)
        if message is not None:
            return message
        items = await self.items_after_message(state)
        return await state.message_items() if items is None else _use_as_response(state, items)

    async def items_that_match(
        self, state: ResponseRunState, items: list[Json], error: CallsUnmatched
    ) -> list[Json] | None:
        """Returns what to post in place of items that do not match the calls of the conversation; None as above.

        An open call there is of an earlier attempt whose request arrived late, or of a turn that ended without its
        result. Raises ``error`` if all match as far as can be seen.
        """
        past = await self._conversations.newest_items(state.thread_id)
        posted = _items_after_results(past, items)
        if posted is None and not state.response:
            posted = await self.items_after_message(state)
        left = items if posted is None else _use_as_response(state, posted)
        if left is None:
            return None
        matching = matched(left, past)
        if matching == items:
            raise error
        return matching

    async def _continue_from_response(self, state: ResponseRunState, response: Json) -> list[Json] | None:
        """Continues from a finished response; from later items if the outputs of its calls were posted already."""
        calls = {call.id for call in unanswered_calls(as_objects(response.get("output")))}
        behind: list[Json] = []
        if calls and not is_local(state.thread_id):
            async with aclosing(self._conversations.items_newest_first(state.thread_id)) as items:
                async for item in items:
                    if item.get("type") == "function_call_output" and item.get("call_id") in calls:
                        return _use_as_response(state, behind[::-1])
                    if item.get("call_id") in calls or item.get("role") == "user":
                        break
                    behind.append(item)
        state.response = response
        return None

    async def items_after_message(self, state: ResponseRunState) -> list[Json] | None:
        """Returns the items after the turn's message, oldest first; None if the conversation does not have it.

        Items carry no id of the gateway. So the newest user message must have the turn's text; if the user sent the
        same text several times in a row, it must occur once more than in the turns before.
        """
        mine = state.turn.message.text_with_attachments.strip()
        results = {each.call_id for each in state.turn.options.outputs}
        behind: list[Json] = []
        same = 0
        async with aclosing(self._conversations.items_newest_first(state.thread_id)) as items:
            async for item in items:
                if item.get("type") == "function_call_output" and item.get("call_id") in results:
                    return behind[::-1]  # the results of a call are posted once
                if item.get("type") == "message" and item.get("role") == "user":
                    if first_text(item).strip() != mine:
                        break
                    same += 1
                elif not same:
                    behind.append(item)
        return behind[::-1] if same and same > await _count_trailing_repeats(mine, state.history) else None

    async def late_answer(self, state: ResponseRunState, run_id: RunId) -> ResponseRunState | None:
        """Looks for an answer again, as an earlier attempt may have completed between the lookup and the post.

        Now the new run has the conversation locked. If there is an answer, cancels the new run and returns a state
        with that answer.
        """
        late = ResponseRunState(
            state.turn, state.thread_id, state.history, state.transcripts, state.filters, state.limits
        )
        items = await self.items_after_message(state)
        if not items or _use_as_response(late, items) is not None:
            return None
        log.info("earlier run has answered; cancelling the new run", run=run_id)
        await self._responses.cancel(run_id)
        return late


def _items_after_results(past: list[Json], items: list[Json]) -> list[Json] | None:
    """Returns what a conversation has after the results among these items; None if it does not have them."""
    results = result_ids(items)
    places = [place for place, item in enumerate(past) if result_ids([item]) & results]
    return past[places[-1] + 1 :] if places else None


def _use_as_response(state: ResponseRunState, items: list[Json]) -> list[Json] | None:
    """Uses items of the conversation as the response. Returns [] (post without a message) if they have no results."""
    if not any(reply_texts(items)) and not unanswered_calls(items) and not any(files_in(items, "")):
        return []
    state.response = {"status": "completed", "output": items}
    return None


async def _count_trailing_repeats(message_text: str, history: HistoryLoader) -> int:
    """Counts how many exchanges directly before the turn have its text."""
    times = 0
    for exchange in reversed(await history()):
        if exchange.text.strip() != message_text:
            break
        times += 1
    return times
