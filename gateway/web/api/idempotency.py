"""The header Idempotency-Key: the same key again is the same message, never a second one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.domain.errors import MalformedRequest
from gateway.web.api.openapi import ParameterDoc

IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Returns the key that a caller gave, if any. Raises MalformedRequest."""
    key = headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise MalformedRequest("An Idempotency-Key has 1 to 255 printable ASCII characters.", code="invalid_field")
    return key


def key_doc(description: str) -> ParameterDoc:
    """Returns the header as the OpenAPI document has it, without the space around it that the server takes away."""
    return ParameterDoc(
        "Idempotency-Key",
        f"{description} Printable ASCII, space around it left out.",
        pattern=r"^[!-~]([ -~]{0,253}[!-~])?$",
        max_length=255,
    )
