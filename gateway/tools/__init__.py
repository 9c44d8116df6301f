"""Function tools: ``@tool`` makes a tool of a Python function, ``ToolBox`` runs them for a model. One file per tool."""

from __future__ import annotations

from gateway.tools.calculator import calculate
from gateway.tools.clock import current_time
from gateway.tools.tool import Tool, tool
from gateway.tools.toolbox import ToolBox

__all__ = ["Tool", "ToolBox", "calculate", "current_time", "tool"]
