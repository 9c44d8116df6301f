"""What a server wants back with single calls as their ``extra_content``, such as Gemini's thought signatures.

It is a part of ``CallRound.returned`` that programs are shown, and bring again, where they keep the history themselves:
ai.google.dev/gemini-api/docs/openai.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

NAME = "extra_content"


def extra_contents(returned: str) -> Mapping[str, Any]:
    """Returns it by the ids of the calls that have one."""
    calls = json.loads(returned).get("calls", {}) if returned else {}
    return {name: beside[NAME] for name, beside in calls.items() if NAME in beside}


def with_extra_contents(by_call: Mapping[str, Any], **beside: Sequence[Any]) -> str:
    """Returns what goes back with calls that have it, and what goes back ``beside`` them."""
    more = {name: value for name, value in beside.items() if value}
    if not by_call and not more:
        return ""
    calls = {name: {NAME: content} for name, content in by_call.items()}
    return json.dumps({"fields": {}, "calls": calls, **more}, ensure_ascii=False)
