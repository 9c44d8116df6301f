"""Makes the parts of one assistant from its definition: its tools, its backend, and what runs turns at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

from gateway import assistants
from gateway.assistants.tool_calls import run_approved
from gateway.configuration import AssistantDefinition, McpServerDefinition
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import SettingsError
from gateway.observability.metrics import Metrics
from gateway.policy.prices import PriceSettings
from gateway.policy.request_estimate import RequestEstimator
from gateway.policy.turn_limit import TurnCostLimit
from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.tools import Tool, ToolBox, find_tools
from gateway.tools.servers import ToolServers, check_servers
from gateway.tools.sources import FoundTool
from gateway.tools.toolbox import ToolSource
from gateway.worker.answering.assistant_runner import AssistantRunner
from gateway.worker.answering.assistants import RunningAssistant
from gateway.worker.answering.tool_files import KeptFiles
from gateway.worker.answering.turn_limits import TurnLimits


@dataclass(frozen=True, slots=True)
class AssistantBuilder:
    """Makes assistants for one process."""

    store: AsyncStore
    metrics: Metrics
    servers: ToolServers
    tool_files: KeptFiles
    prices: PriceSettings
    hand_over: Tool | None = None
    """The tool that hands a conversation over; None: assistants have none."""
    hand_over_for_all: bool = False
    """Whether an assistant has it whose tools are not listed, or without it."""

    def build(self, definition: AssistantDefinition, servers: Sequence[McpServerDefinition]) -> RunningAssistant:
        """Returns an assistant. ``servers``: its MCP servers. No I/O but that of importing its tools.

        Raises SettingsError.
        """
        asked = definition.tool_approvers
        found = tools_of(definition, self.hand_over, offered=self.hand_over_for_all)
        functions = [replace(each.tool, approvers=asked.get(each.tool.name, ())) for each in found]
        check_servers(definition.name, servers, functions)
        sources = self.servers.acquire(servers)
        try:
            return self._build(definition, servers, functions, sources)
        except SettingsError:
            self.servers.release(sources)
            raise

    def _build(
        self,
        definition: AssistantDefinition,
        servers: Sequence[McpServerDefinition],
        functions: Sequence[Tool],
        sources: Sequence[ToolSource],
    ) -> RunningAssistant:
        settings, hosted = definition.settings, [each for each in servers if each.hosted]
        toolbox = ToolBox(functions, settings.tool_timeout_seconds, sources=sources, hosted=hosted)
        backend = assistants.build(settings, toolbox, self.store)
        runner = AssistantRunner(
            self.store,
            backend,
            self.metrics,
            estimator=_estimator(settings, backend, toolbox),
            limits=_limits(settings, self.prices),
            name=definition.name,
            run_calls=self.tool_files.kept_from(partial(run_approved, toolbox)),
            tool_files=self.tool_files,
        )
        release = partial(self.servers.release, sources)
        return RunningAssistant(definition.name, backend, runner, definition.fallback, self.tool_files, release)


def tools_of(
    definition: AssistantDefinition, hand_over: Tool | None = None, *, offered: bool = False
) -> Sequence[FoundTool]:
    """Returns the function tools that an assistant may call. Raises SettingsError, also for one that there is not.

    ``hand_over``: a tool that it has only if it lists it, or if it is ``offered`` to all.
    """
    found, wanted = list(find_tools(definition.settings.tools_path)), definition.function_tools
    names = [each.tool.name for each in found]
    own = [FoundTool(hand_over, "the gateway")] if hand_over is not None and hand_over.name not in names else []
    if wanted is None:
        return [*found, *own] if offered else found
    found += own
    wanted = (*wanted, *(each.tool.name for each in own if offered))
    names = [each.tool.name for each in found]
    for missing in (name for name in wanted if name not in names):
        near = get_close_matches(missing, names, 1) or names
        raise SettingsError(
            f"[assistants.{definition.name}] tools: there is no tool {missing!r}. If you mean {near[0]}, write that."
        )
    return [each for each in found if each.tool.name in wanted]


def _limits(settings: Settings, prices: PriceSettings) -> TurnLimits:
    cost, seconds = TurnCostLimit.of(prices, settings), settings.assistant_timeout_seconds
    return TurnLimits(settings.max_reply_chars, cost, seconds, settings.approval_minutes * 60.0)


def _estimator(settings: Settings, backend: Assistant, toolbox: ToolBox) -> RequestEstimator:
    history_chars = settings.history_chars if backend.name == "chat" else None
    instructions = assistants.instructions_of(settings).for_message
    return RequestEstimator(backend.model, instructions, lambda: toolbox.schemas, history_chars)
