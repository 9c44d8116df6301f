"""The body parameters of each route and their types. Any other parameter is rejected, as by OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.openai_messages import FileUpload, bad_request

Params = Mapping[str, tuple[type, ...]]

TYPES_BY_KIND: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "whole": (int,),
    "number": (int, float),
    "flag": (bool,),
    "array": (list,),
    "object": (dict,),
}
TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a decimal",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    FileUpload: "a file",
    type(None): "null",
}


def parameters(**names: str) -> Params:
    """Returns parameters by type, from names separated by spaces; a name under two types may have either."""
    params: dict[str, tuple[type, ...]] = {}
    for kind, listed in names.items():
        for name in listed.split():
            params[name] = params.get(name, ()) + TYPES_BY_KIND[kind]
    return params


RUN = parameters(
    text="assistant_id instructions model response_format tool_choice",
    number="temperature top_p",
    whole="max_completion_tokens max_prompt_tokens",
    flag="parallel_tool_calls stream",
    array="tools",
    object="metadata response_format tool_choice truncation_strategy",
)
ASSISTANT = parameters(
    text="model name description instructions reasoning_effort response_format",
    number="temperature top_p",
    array="tools",
    object="metadata response_format tool_resources",
)
METADATA = parameters(object="metadata")
FORM: Params = {"file": (FileUpload,), "purpose": (str,)}

PARAMS: Mapping[str, Params] = {
    "POST /assistants": ASSISTANT,
    "POST /assistants/{}": ASSISTANT,
    "POST /threads": parameters(array="messages", object="metadata tool_resources"),
    "POST /threads/{}": parameters(object="metadata tool_resources"),
    "POST /threads/{}/messages": parameters(text="role content", array="content attachments", object="metadata"),
    "POST /threads/{}/messages/{}": METADATA,
    "POST /threads/runs": {**RUN, **parameters(object="thread tool_resources")},
    "POST /threads/{}/runs": {
        **RUN,
        **parameters(text="additional_instructions reasoning_effort", array="additional_messages include"),
    },
    "POST /threads/{}/runs/{}": METADATA,
    "POST /threads/{}/runs/{}/cancel": {},
    "POST /threads/{}/runs/{}/submit_tool_outputs": parameters(array="tool_outputs", flag="stream"),
    "POST /conversations": parameters(array="items", object="metadata"),
    "POST /conversations/{}": METADATA,
    "POST /conversations/{}/items": parameters(array="items"),
    "POST /responses": parameters(
        text="conversation input instructions model previous_response_id prompt_cache_key prompt_cache_retention "
        "safety_identifier service_tier tool_choice truncation user",
        number="temperature top_p",
        whole="max_output_tokens max_tool_calls top_logprobs",
        flag="background parallel_tool_calls store stream",
        array="context_management include input tools",
        object="access_programs conversation image metadata moderation prompt prompt_cache_options reasoning "
        "stream_options text tool_choice",
    ),
    "POST /responses/{}/cancel": {},
    "POST /files": FORM,
    "POST /chat/completions": parameters(
        text="function_call model prompt_cache_key prompt_cache_retention reasoning_effort safety_identifier "
        "service_tier stop tool_choice user verbosity",
        number="frequency_penalty presence_penalty temperature top_p",
        whole="max_completion_tokens max_tokens n seed top_logprobs",
        flag="logprobs parallel_tool_calls store stream",
        array="functions messages modalities stop tools",
        object="audio function_call logit_bias metadata moderation prediction prompt_cache_options response_format "
        "stream_options tool_choice web_search_options",
    ),
}


def check_params(params: Params, body: Any) -> None:
    """Raises ApiError if the body is not an object, or has a parameter that is unknown or of a wrong type."""
    if body is None:
        return
    if not isinstance(body, dict):
        raise bad_request("Invalid body: expected an object.", code="invalid_type")
    for name, value in body.items():
        if name not in params:
            raise bad_request(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        if value is not None and not _matches_type(value, params[name]):
            _raise_wrong_type(name, value, params[name])


def _matches_type(value: Any, types: tuple[type, ...]) -> bool:
    # bool is a subclass of int in Python, but not an integer in JSON
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _raise_wrong_type(name: str, value: Any, types: tuple[type, ...]) -> None:
    wanted = " or ".join(TYPE_NAMES[one] for one in types)
    message = f"Invalid type for '{name}': expected {wanted}, but got {TYPE_NAMES[type(value)]} instead."
    raise bad_request(message, param=name, code="invalid_type")
