"""The requests that create a run and that bring it the outputs of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.assistants.api_client import AssistantConfig, path_segment
from gateway.assistants.requests.parameters import RUN_LIMITS
from gateway.assistants.requests.speakers import instructions_for
from gateway.assistants.requests.turn_options import (
    FORCED_CHOICE,
    INCLUDE,
    drop_forced_choice,
    same,
    translated,
    unsupported,
    without_effect,
)
from gateway.assistants.sse import Json
from gateway.assistants.threads.files import ThreadFiles
from gateway.assistants.threads.server_assistant import ServerAssistant
from gateway.assistants.threads.state import PostRequest, ThreadRunState
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.models import ThreadId
from gateway.domain.turn_options import ALLOWED_TOOLS, allows_only_some
from gateway.tools import ToolBox

NAME = "threads"


def _tool_choice(value: Any) -> Json:
    """Raises AssistantRefused for a choice of some functions, which a run has not."""
    if allows_only_some(value):
        raise unsupported(f"`{FORCED_CHOICE}` of the type {ALLOWED_TOOLS}", NAME)
    return {FORCED_CHOICE: value}


PARAMETERS = {
    name: same(name)
    for name in (
        *("temperature", "top_p", "max_completion_tokens", "response_format", "reasoning_effort"),
        *("parallel_tool_calls", *RUN_LIMITS["threads"]),
    )
} | {FORCED_CHOICE: _tool_choice, INCLUDE: without_effect}
"""Those of Chat Completions that a run has too, and its own."""


class RunRequests:
    """Builds the requests of one server's runs."""

    def __init__(
        self, config: AssistantConfig, toolbox: ToolBox, assistant: ServerAssistant, files: ThreadFiles
    ) -> None:
        self._config = config
        self._instructions = config.template
        self._toolbox = toolbox
        self._assistant = assistant
        self._files = files

    async def create(self, state: ThreadRunState, *, with_message: bool = True) -> PostRequest:
        """Returns the request that starts a run. Raises AssistantRefused for options that a run has not."""
        await self._toolbox.ready()
        metadata = {"turn_id": state.marker}
        options = state.turn.options
        if options.functions or (options.outputs and not state.turn.rounds):
            raise unsupported("`tools`", NAME)
        fields = {**await self._assistant.run_fields(), **self._config.parameters}
        body = {**fields, "metadata": metadata, "stream": self._config.stream}
        body |= translated(options, PARAMETERS, NAME)
        if state.turn.rounds or not with_message:
            drop_forced_choice(body)
        if options.model:
            body["model"] = options.model
        is_own = self._instructions.is_template and not self._assistant.is_configured
        if is_own or options.instructions is not None:
            body["instructions"] = self._instructions.for_message(state.turn.message)
        if note := instructions_for(state.turn, "", self._toolbox.notice):
            body["additional_instructions"] = note
        if with_message and state.turn.rounds:
            body["additional_messages"] = [state.message_with_held_outputs()]
        elif with_message:
            message, state.message_without_files = await self._files.build_messages(state.turn, state.transcripts.load)
            body["additional_messages"] = [message]
        return f"{thread_path(state.thread_id)}/runs", body

    async def outputs(self, state: ThreadRunState, calls: Sequence[FunctionCall]) -> PostRequest:
        """Returns the request that brings the outputs; those of calls in the text come with another run's message."""
        if state.text_calls:
            path, body = await self.create(state, with_message=False)
            return path, {**body, "additional_messages": [state.begin_run_with_outputs()]}
        outputs = [{"tool_call_id": call.id, "output": state.outputs[call.id].text} for call in calls]
        path = f"{run_path(state.thread_id, state.reader.id)}/submit_tool_outputs"
        return path, {"tool_outputs": outputs, "stream": self._config.stream}


def thread_path(thread_id: ThreadId) -> str:
    return f"/threads/{path_segment(thread_id)}"


def run_path(thread_id: ThreadId, run_id: str) -> str:
    return f"{thread_path(thread_id)}/runs/{path_segment(run_id)}"
