"""The tools of an assistant together: what it is told of them, and what comes of each call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pydantic_core
from pydantic import ValidationError

from gateway import logs
from gateway.tools.threads import Stuck, Threads
from gateway.tools.tool import Tool, complaint

MAX_RESULT = 100_000
"""Characters of a result that a model is given; more would fill its memory with one call."""
MAX_REASON = 1_000
"""Characters of an exception's text."""

log = logs.get(__name__)


class ToolBox:
    """Runs tools for a model. Empty, it is false."""

    def __init__(self, tools: Sequence[Tool], time_limit: float = 30.0) -> None:
        """Seconds are per call. Raises ValueError when two tools have one name."""
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            raise ValueError("Two tools have the same name.")
        self._time_limit = time_limit
        self._threads = Threads()

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """For each tool its name, description and parameters (JSON schema)."""
        return tuple(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in self._tools.values()
        )

    async def call(self, name: str, arguments: str) -> str:
        """The result of a tool as text for the model, or why there is none. Raises nothing but CancelledError.

        ``arguments`` is JSON as the model wrote it. A string is the result as it is, anything else becomes JSON. A
        tool that is a plain function runs in a thread; past its time it is left behind there (see ``Threads``).
        """
        tool = self._tools.get(name)
        if tool is None:
            return f"There is no tool {name[:64]!r}. The tools are: {', '.join(self._tools) or 'none'}."
        try:
            values = tool.arguments(arguments)
        except ValidationError as exc:
            return complaint(exc, tool.parameters)
        except Exception as exc:  # noqa: BLE001  # a validator of the tool's own may raise anything
            return _failure(tool, exc)
        if tool.waits:
            return await self._await(tool, values)
        return await self._run(tool, values)

    async def _await(self, tool: Tool, values: dict[str, Any]) -> str:
        try:
            async with asyncio.timeout(self._time_limit) as timer:
                return _text(await tool.call(**values))
        except TimeoutError as exc:
            return self._too_slow(tool) if timer.expired() else _failure(tool, exc)
        except asyncio.CancelledError as exc:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            return _failure(tool, exc)  # the tool cancelled something of its own
        except BaseException as exc:  # noqa: BLE001  # a tool may not end the loop, not even by sys.exit()
            return _failure(tool, exc)

    async def _run(self, tool: Tool, values: dict[str, Any]) -> str:
        def work() -> str:
            try:
                return _text(tool.call(**values))
            except BaseException as exc:  # noqa: BLE001  # nothing may be lost in a thread
                return _failure(tool, exc)

        try:
            return await self._threads.run(tool.name, work, self._time_limit)
        except TimeoutError:
            return self._too_slow(tool)
        except Stuck:
            log.warning("tool stuck", tool=tool.name)
            return f"The tool {tool.name} cannot be used right now: earlier calls of it have not come back."
        except Exception as exc:  # noqa: BLE001  # no thread could be started
            return _failure(tool, exc)

    def _too_slow(self, tool: Tool) -> str:
        log.warning("tool too slow", tool=tool.name, seconds=self._time_limit)
        return f"The tool {tool.name} did not finish within {self._time_limit:g} seconds."


def _text(result: object) -> str:
    text = result if isinstance(result, str) else pydantic_core.to_json(result, fallback=str).decode()
    if len(text) > MAX_RESULT:
        text = f"{text[:MAX_RESULT]}\n[The result was cut here: it has {len(text)} characters.]"
    return text.encode(errors="replace").decode()  # half a surrogate pair could not be sent to anybody


def _failure(tool: Tool, exc: BaseException) -> str:
    log.warning("tool failed", tool=tool.name, error=type(exc).__name__)
    log.debug("tool failure", tool=tool.name, exc_info=exc)
    try:
        reason = str(exc)
    except Exception:  # noqa: BLE001  # an exception that cannot even say what it is
        reason = ""
    reason = logs.mask(reason.encode(errors="replace").decode()) or type(exc).__name__
    return f"The tool {tool.name} failed: {reason[:MAX_REASON]}"
