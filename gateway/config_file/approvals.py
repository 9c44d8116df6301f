"""Reads who may approve calls of tools, in the tables ``[mcp.NAME]`` and ``[tools.NAME]``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.config_file.assistants import ToolNames
from gateway.config_file.problems import ProblemList
from gateway.config_file.tables import McpTable, ToolTable
from gateway.domain.approvals import ASKER, KEY, OPERATORS
from gateway.settings.toml_file import Key

TOOLS = "tools"
NEEDS_APPROVERS = f'say who may approve, such as approvers = ["{ASKER}"]: nobody may who is not named there.'
NEEDS_APPROVE = "approve names no tool that they could approve."


class ApproverReader:
    """Reads those of one file."""

    def __init__(
        self, problems: ProblemList, platforms: Collection[str], keys: Collection[str], function_tools: ToolNames
    ) -> None:
        """``keys``: the names of the API keys."""
        self._problems = problems
        self._platforms = platforms
        self._keys = keys
        self._function_tools = function_tools

    def check(self, key: Key, table: McpTable | ToolTable) -> None:
        """Tells what is wrong with the approvers of a table."""
        where = (*key, "approvers")
        if table.approve and not table.approvers:
            self._problems.add((*key, "approve"), NEEDS_APPROVERS)
        if table.approvers and not table.approve:
            self._problems.add(where, NEEDS_APPROVE)
        for place, approver in enumerate(table.approvers):
            self._check((*where, place), approver)

    def _check(self, key: Key, approver: str) -> None:
        if approver in {ASKER, OPERATORS}:
            return
        kind, colon, name = approver.partition(":")
        if not (colon and name):
            self._problems.add(key, f"write platform:user, {KEY}:name, {ASKER} or {OPERATORS}.")
        elif kind == KEY:
            if name not in self._keys:
                self._problems.unknown(key, "API key with the name", name, self._keys)
        elif kind not in self._platforms:
            self._problems.unknown(key, "platform", kind, (*self._platforms, KEY))

    def read(self, tables: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yields the function tools whose calls people have to approve, each with who may."""
        known = self._function_tools() if tables else ()
        for name, value in tables.items():
            if name not in known:
                self._problems.unknown((TOOLS, name), "function tool", name, known)
            table = self._problems.parse(ToolTable, (TOOLS, name), value)
            if table is not None:
                self.check((TOOLS, name), table)
                if table.approve:
                    yield name, table.approvers
