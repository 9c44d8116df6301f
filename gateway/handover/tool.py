"""The tool with which an assistant hands its conversation over to a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.tools import Tool, tool

NAME = "hand_over"

HandOver = Callable[[str], Awaitable[str]]
"""Hands over the conversation on which the current task works, for a reason; returns what to tell the model."""


def hand_over_tool(take: HandOver) -> Tool:
    """Returns the tool."""

    @tool
    async def hand_over(reason: str) -> str:
        """Hand this conversation over to a person, who answers from then on instead of you.

        Use it when the user asks for a person, or when you cannot help and a person could.

        Args:
            reason: What the person needs to know to go on, in one or two sentences.
        """
        return await take(reason)

    return hand_over
