"""Items of a request are made to match the calls of the conversation before them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.assistants.history.exchanges import NO_RESULT, result_text
from gateway.assistants.responses.items import message_item, output_item
from gateway.assistants.responses.matching_calls import matched

CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": "{}"}
WITHOUT_CALL_ID = {"type": "function_call", "id": "call_1", "name": "add", "arguments": "{}"}
RESULT = output_item("call_1", "3")
PICTURE = {"type": "input_image", "image_url": "data:"}
ASKED = message_item("Hello")


@pytest.mark.parametrize(
    ("past", "items", "posted"),
    [
        ([ASKED, CALL], [ASKED], [output_item("call_1", NO_RESULT), ASKED]),
        ([ASKED, WITHOUT_CALL_ID], [ASKED], [output_item("call_1", NO_RESULT), ASKED]),
        ([CALL, ASKED], [RESULT], [RESULT]),
        ([CALL, RESULT], [RESULT, ASKED], [ASKED]),
        ([ASKED], [RESULT, ASKED], [message_item(result_text("3")), ASKED]),
        ([ASKED], [CALL, RESULT], [CALL, RESULT]),
        (
            [],
            [
                {
                    **RESULT,
                    "output": [{"type": "input_text", "text": "3"}, {"type": "input_image", "image_url": "data:"}],
                }
            ],
            [message_item(result_text("3"))],
        ),
    ],
)
def test_calls_and_results_match(
    past: list[dict[str, Any]], items: list[dict[str, Any]], posted: list[dict[str, Any]]
) -> None:
    assert matched(items, past) == posted
