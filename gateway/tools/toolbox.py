"""The set of tools of an assistant: describes them to the model and runs its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pydantic_core
from pydantic import ValidationError

from gateway import logs
from gateway.tools.thread_runner import ThreadRunner, TooManyStuckCalls
from gateway.tools.tool import Tool, describe_validation_error

MAX_RESULT_CHARS = 100_000
"""Limit for one result; more could fill the model's context with one call."""
MAX_REASON_CHARS = 1_000
"""Limit for the text of an exception."""

log = logs.get_logger(__name__)


class ToolBox:
    """Runs tools for a model. False if it has no tools."""

    def __init__(self, tools: Sequence[Tool], time_limit: float = 30.0) -> None:
        """``time_limit``: seconds per call. Raises ValueError if two tools have the same name."""
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            raise ValueError("Two tools have the same name.")
        self._time_limit = time_limit
        self._thread_runner = ThreadRunner()

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    @property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """Name, description and parameters (JSON schema) of each tool."""
        return tuple(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in self._tools.values()
        )

    async def call(self, name: str, arguments: str) -> str:
        """Returns the result of a tool, or an error text for the model. Raises nothing but CancelledError.

        ``arguments`` is JSON as the model wrote it. A string result is returned unchanged, any other becomes JSON. A
        plain function runs in a thread, which is abandoned past the time limit (see ``ThreadRunner``).
        """
        tool = self._tools.get(name)
        if tool is None:
            return f"There is no tool {name[:64]!r}. The tools are: {', '.join(self._tools) or 'none'}."
        try:
            values = tool.parse_arguments(arguments)
        except ValidationError as exc:
            return describe_validation_error(exc, tool.parameters)
        except Exception as exc:  # noqa: BLE001  # the tool's own validators may raise anything
            return _failure_text(tool, exc)
        if tool.is_async:
            return await self._run_async(tool, values)
        return await self._run_in_thread(tool, values)

    async def _run_async(self, tool: Tool, values: dict[str, Any]) -> str:
        try:
            async with asyncio.timeout(self._time_limit) as timer:
                return _result_text(await tool.call(**values))
        except TimeoutError as exc:
            return self._timeout_text(tool) if timer.expired() else _failure_text(tool, exc)
        except asyncio.CancelledError as exc:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            return _failure_text(tool, exc)  # cancelled by the tool itself
        except BaseException as exc:  # noqa: BLE001  # a tool must not end the loop, even by sys.exit()
            return _failure_text(tool, exc)

    async def _run_in_thread(self, tool: Tool, values: dict[str, Any]) -> str:
        def work() -> str:
            try:
                return _result_text(tool.call(**values))
            except BaseException as exc:  # noqa: BLE001  # an exception in the thread would be lost
                return _failure_text(tool, exc)

        try:
            return await self._thread_runner.run(tool.name, work, self._time_limit)
        except TimeoutError:
            return self._timeout_text(tool)
        except TooManyStuckCalls:
            log.warning("tool refused: too many earlier calls of it still hang", tool=tool.name)
            return f"The tool {tool.name} cannot be used right now: earlier calls of it have not returned yet."
        except Exception as exc:  # noqa: BLE001  # the thread could not be started
            return _failure_text(tool, exc)

    def _timeout_text(self, tool: Tool) -> str:
        log.warning("tool exceeded its time limit", tool=tool.name, seconds=self._time_limit)
        return f"The tool {tool.name} did not finish within {self._time_limit:g} seconds."


def _result_text(result: object) -> str:
    text = result if isinstance(result, str) else pydantic_core.to_json(result, fallback=str).decode()
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]}\n[The result was cut here: it has {len(text)} characters.]"
    return text.encode(errors="replace").decode()  # an unpaired surrogate cannot be sent


def _failure_text(tool: Tool, exc: BaseException) -> str:
    log.warning("tool failed", tool=tool.name, error=type(exc).__name__)
    log.debug("tool failed: traceback", tool=tool.name, exc_info=exc)
    try:
        reason = str(exc)
    except Exception:  # noqa: BLE001  # an exception whose __str__ raises
        reason = ""
    reason = logs.mask(reason.encode(errors="replace").decode()) or type(exc).__name__
    return f"The tool {tool.name} failed: {reason[:MAX_REASON_CHARS]}"
