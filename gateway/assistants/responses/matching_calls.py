"""Calls and results: no server goes on with a conversation in which a call has no result, or a result no call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.assistants.history.exchanges import NO_RESULT, result_text
from gateway.assistants.json_fields import as_text
from gateway.assistants.responses.items import call_id_of, message_item, output_item, without_output_files
from gateway.assistants.sse import Json


def matched(items: Sequence[Json], past: Sequence[Json]) -> list[Json]:
    """Returns the items of a request so that they match those of the conversation before them.

    A call without a result gets one that says so. A result that is there is left out; one without its call is text.
    """
    answered, given = result_ids(past), result_ids(items)
    called = [call_id_of(item) for item in past if item.get("type") == "function_call"]
    missing = [call_id for call_id in called if call_id not in answered | given]
    known = {*called, *(call_id_of(item) for item in items if item.get("type") == "function_call")}
    closing = [output_item(call_id, NO_RESULT) for call_id in missing]
    return [*closing, *(_with_call(item, known) for item in items if not _is_repeated(item, answered))]


def result_ids(items: Iterable[Json]) -> set[str]:
    """Returns the ids of the calls whose results are among these items."""
    return {as_text(item.get("call_id")) for item in items if _is_result(item)}


def _is_result(item: Json) -> bool:
    return item.get("type") == "function_call_output"


def _is_repeated(item: Json, answered: set[str]) -> bool:
    return _is_result(item) and item["call_id"] in answered


def _with_call(item: Json, known: set[str]) -> Json:
    """Returns an item, or its text if it is a result whose call is not known."""
    if not _is_result(item) or item["call_id"] in known:
        return item
    (plain,) = without_output_files([item])
    return message_item(result_text(plain["output"]))
