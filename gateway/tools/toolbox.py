"""The set of tools of an assistant: describes them to the model and runs its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import pydantic_core
from pydantic import ValidationError

from gateway import logs
from gateway.configuration import McpServerDefinition
from gateway.tools.thread_runner import ThreadRunner, TooManyStuckCalls
from gateway.tools.tool import Tool, ToolResult, describe_validation_error

MAX_RESULT_CHARS = 100_000
"""Limit for one result; more could fill the model's context with one call."""
MAX_REASON_CHARS = 1_000
"""Limit for the text of an exception."""

NOT_APPROVED = (
    "People have to approve a call of {tool}, and those who may now were not asked about this one. It was not carried "
    "out. If it is still needed, call it again without other functions beside it."
)

log = logs.get_logger(__name__)


class ToolSource(Protocol):
    """Tools that come and go while the process runs: those of one MCP server. Used on the worker's loop only."""

    name: str

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools that can be used now; their names begin with ``prefix``. No I/O."""
        ...

    @property
    def prefix(self) -> str:
        """How the names of its tools begin."""
        ...

    @property
    def problem(self) -> str:
        """Why its tools cannot be used now, in a few words; empty if they can."""
        ...

    async def ready(self) -> None:
        """Waits for a few seconds at most until it is known whether its tools can be used. Raises nothing."""
        ...


class ToolBox:
    """Runs tools for a model. The tools of its sources may change from one call to the next."""

    def __init__(
        self,
        tools: Sequence[Tool],
        time_limit: float = 30.0,
        *,
        sources: Sequence[ToolSource] = (),
        hosted: Sequence[McpServerDefinition] = (),
    ) -> None:
        """``time_limit``: seconds per call. ``hosted``: MCP servers whose tools the assistant's server is to call.

        Raises ValueError if two tools have the same name.
        """
        self._own = {tool.name: tool for tool in tools}
        if len(self._own) < len(tools):
            raise ValueError("Two tools have the same name.")
        self.own_schemas = _schemas(tools)
        """The schemas of the tools that never change: those that are functions of this process."""
        self._own_names = tuple(self._own)
        self._time_limit = time_limit
        self._sources = sources
        self.hosted = hosted
        self._thread_runner = ThreadRunner()

    @property
    def may_change(self) -> bool:
        """Whether the tools may be others later."""
        return bool(self._sources)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools) if self._sources else self._own_names

    @property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """Name, description and parameters (JSON schema) of each tool."""
        return _schemas(self._tools.values()) if self._sources else self.own_schemas

    @property
    def notice(self) -> str:
        """What the model should know of tools that are missing now; else empty."""
        if not self._sources:
            return ""
        away = [f"{source.prefix}… ({source.problem})" for source in self._sources if source.problem]
        if not away:
            return ""
        return (
            f"These tools cannot be used right now: {', '.join(away)}. If they are needed, say that they are missing."
        )

    async def ready(self) -> None:
        """Waits for a few seconds at most until it is known which tools can be used. Called before each run."""
        if self._sources:
            await asyncio.gather(*(source.ready() for source in self._sources))

    @property
    def _tools(self) -> dict[str, Tool]:
        if not self._sources:
            return self._own
        found = chain.from_iterable(source.tools for source in self._sources)
        return {tool.name: tool for tool in found} | self._own

    def approvers_of(self, name: str, arguments: str) -> tuple[str, ...]:
        """Returns who may approve a call; empty if nobody has to, or if its arguments do not fit: then nothing runs."""
        tool = self._tools.get(name)
        if tool is None or not tool.approvers:
            return ()
        try:
            tool.parse_arguments(arguments)
        except Exception:  # noqa: BLE001  # the tool's own validators may raise anything; ``call`` says what is wrong
            return ()
        return tool.approvers

    async def call(self, name: str, arguments: str, *, approvers: Sequence[str] = ()) -> ToolResult:
        """Returns the result of a tool, or an error text for the model. Raises nothing but CancelledError.

        ``approvers``: who could approve the call, of whom one did; empty: nobody was asked. A call that people have to
        approve is not run without, and not if one of these may not approve it any more: the configuration may be
        another one than when they were asked.

        ``arguments`` is JSON as the model wrote it. A string result is returned unchanged, and so is a ToolResult; any
        other becomes JSON. A plain function runs in a thread, which is abandoned past the time limit (see
        ``ThreadRunner``).
        """
        tool = self._tools.get(name)
        if tool is None:
            return ToolResult(self._missing_text(name))
        try:
            values = tool.parse_arguments(arguments)
        except ValidationError as exc:
            return ToolResult(describe_validation_error(exc, tool.parameters))
        except Exception as exc:  # noqa: BLE001  # the tool's own validators may raise anything
            return _failure(tool, exc)
        if tool.approvers and not (approvers and set(approvers) <= set(tool.approvers)):
            log.warning("tool not run: those who may approve it now were not asked", tool=tool.name)
            return ToolResult(NOT_APPROVED.format(tool=tool.name))
        if tool.is_async:
            return await self._run_async(tool, values)
        return await self._run_in_thread(tool, values)

    async def _run_async(self, tool: Tool, values: dict[str, Any]) -> ToolResult:
        try:
            async with asyncio.timeout(self._time_limit_of(tool)) as timer:
                return _result(await tool.call(**values))
        except TimeoutError as exc:
            return self._timed_out(tool) if timer.expired() else _failure(tool, exc)
        except asyncio.CancelledError as exc:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            return _failure(tool, exc)  # cancelled by the tool itself
        except BaseException as exc:  # noqa: BLE001  # a tool must not end the loop, even by sys.exit()
            return _failure(tool, exc)

    async def _run_in_thread(self, tool: Tool, values: dict[str, Any]) -> ToolResult:
        def work() -> ToolResult:
            try:
                return _result(tool.call(**values))
            except BaseException as exc:  # noqa: BLE001  # an exception in the thread would be lost
                return _failure(tool, exc)

        try:
            return await self._thread_runner.run(tool.name, work, self._time_limit_of(tool))
        except TimeoutError:
            return self._timed_out(tool)
        except TooManyStuckCalls:
            log.warning("tool refused: too many earlier calls of it still hang", tool=tool.name)
            return ToolResult(
                f"The tool {tool.name} cannot be used right now: earlier calls of it have not returned yet."
            )
        except Exception as exc:  # noqa: BLE001  # the thread could not be started
            return _failure(tool, exc)

    def _missing_text(self, name: str) -> str:
        for source in self._sources:
            if source.problem and name.startswith(source.prefix):
                return f"The tool {name[:64]} cannot be used right now: {source.problem}."
        return f"There is no tool {name[:64]!r}. The tools are: {', '.join(self._tools) or 'none'}."

    def _time_limit_of(self, tool: Tool) -> float:
        return self._time_limit if tool.time_limit is None else tool.time_limit

    def _timed_out(self, tool: Tool) -> ToolResult:
        seconds = self._time_limit_of(tool)
        log.warning("tool exceeded its time limit", tool=tool.name, seconds=seconds)
        return ToolResult(f"The tool {tool.name} did not finish within {seconds:g} seconds.")


def _schemas(tools: Iterable[Tool]) -> tuple[dict[str, Any], ...]:
    return tuple({"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools)


def _result(result: object) -> ToolResult:
    if isinstance(result, ToolResult):
        return replace(result, text=_result_text(result.text))
    return ToolResult(_result_text(result))


def _result_text(result: object) -> str:
    text = result if isinstance(result, str) else pydantic_core.to_json(result, fallback=str).decode()
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]}\n[The result was cut here: it has {len(text)} characters.]"
    return text.encode(errors="replace").decode()  # an unpaired surrogate cannot be sent


def _failure(tool: Tool, exc: BaseException) -> ToolResult:
    log.warning("tool failed", tool=tool.name, error=type(exc).__name__)
    log.debug("tool failed: traceback", tool=tool.name, exc_info=exc)
    try:
        reason = str(exc)
    except Exception:  # noqa: BLE001  # an exception whose __str__ raises
        reason = ""
    reason = logs.mask(reason.encode(errors="replace").decode()) or type(exc).__name__
    return ToolResult(f"The tool {tool.name} failed: {reason[:MAX_REASON_CHARS]}")
