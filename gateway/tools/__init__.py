"""Function tools: ``@tool`` makes a tool of a function, ``find_tools`` finds them, ``ToolBox`` runs them."""

from __future__ import annotations

from gateway.tools.calculator import calculate
from gateway.tools.clock import current_time
from gateway.tools.sources import FoundTool, find_tools
from gateway.tools.tool import Tool, ToolResult, tool
from gateway.tools.toolbox import ToolBox

__all__ = ["FoundTool", "Tool", "ToolBox", "ToolResult", "calculate", "current_time", "find_tools", "tool"]
