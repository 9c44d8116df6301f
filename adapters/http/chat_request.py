"""Parses requests to POST /chat: who calls, what the body says, and which message it becomes."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.config import JsonDict

from adapters.base.language import in_language
from adapters.http.caller import caller_name
from adapters.http.settings import NAME, HttpSettings
from gateway.domain.errors import MalformedRequest, Unauthenticated
from gateway.domain.models import ConversationKey, Join, Message
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.platform import Request, SyntheticMessage
from gateway.web.api.json_body import STORABLE, STORABLE_PATTERN, VISIBLE, VISIBLE_PATTERN, read_model

BYTES_PER_CHARACTER = 12
"""The most bytes that a character takes in JSON: two escapes of six."""
OTHER_BYTES = 4096

IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MESSAGE = "What to say."
STORABLE_TEXT: JsonDict = {"pattern": STORABLE_PATTERN}
VISIBLE_TEXT: JsonDict = {"pattern": VISIBLE_PATTERN}
"""What the API's documentation says of texts beside their length."""


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    message: Annotated[str, Field(min_length=1, description=MESSAGE, json_schema_extra=VISIBLE_TEXT), STORABLE, VISIBLE]
    thread_id: Annotated[str, Field(min_length=1, max_length=128, json_schema_extra=STORABLE_TEXT), STORABLE] | None = (
        Field(None, description="The thread to continue. Leave it out to open a new one.")
    )
    user: Annotated[str, Field(max_length=200, json_schema_extra=STORABLE_TEXT), STORABLE] | None = Field(
        None, description="Who says it, in your words."
    )
    stream: bool = Field(default=False, description="Answer with server-sent events while the reply is written.")


@dataclass(frozen=True, slots=True)
class ParsedChatRequest:
    message: Message
    stream: bool


class ChatRequestParser:
    """Authenticates callers and turns their requests into messages. Does no I/O."""

    def __init__(self, settings: HttpSettings, *, max_message_chars: int, languages: Languages = ENGLISH_ONLY) -> None:
        self._languages = languages
        self.max_body_bytes = max_message_chars * BYTES_PER_CHARACTER + OTHER_BYTES
        self._join_seconds = settings.chat_join_seconds
        self.owners = tuple(_owner(key.encode()) for key in settings.keys)
        """One for each API key; empty when the endpoint is open to everybody."""
        self.model = _request_model(max_message_chars)

    def parse(self, request: Request) -> ParsedChatRequest:
        """Returns what a caller asks. Raises Unauthenticated, MalformedRequest.

        A message without an Idempotency-Key is a new one each time it is sent, and has a new id each time.
        """
        return self.parse_for(self.owner(request.headers), request)

    def dry_run(self, supposed: SyntheticMessage) -> Message:
        """Returns the message of a made-up request. Raises MalformedRequest.

        A caller's workspace is the digest of its API key; without one, the first key's.
        """
        body = {"message": supposed.text, "user": supposed.user or None, "thread_id": supposed.channel or None}
        request = Request({"content-type": "application/json"}, json.dumps(body).encode())
        return self.parse_for(supposed.workspace or next(iter(self.owners), ""), request).message

    def owner(self, headers: Mapping[str, str]) -> str:
        """Returns whose threads a caller may see: a digest of its API key, or "" when no keys are set.

        Raises Unauthenticated.
        """
        if not self.owners:
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        caller = _owner(key.strip().encode("latin-1", "replace"))  # header bytes are passed as Latin-1
        known = [owner for owner in self.owners if hmac.compare_digest(owner, caller)]
        if scheme.lower() != "bearer" or not known:
            raise Unauthenticated("Send an API key of this gateway: Authorization: Bearer <key>.")
        return known[0]

    def parse_for(self, owner: str, request: Request) -> ParsedChatRequest:
        """Returns what a caller asks whose key was checked before. Raises MalformedRequest."""
        if len(request.body) > self.max_body_bytes:
            raise MalformedRequest(f"The body is larger than {self.max_body_bytes} bytes.", code="payload_too_large")
        body = read_model(self.model, request.headers.get("content-type", ""), request.body)
        key = ConversationKey(NAME, workspace=owner, channel=body.thread_id or f"thr_{secrets.token_hex(12)}")
        message_id, address = _identity(owner, request.headers.get("idempotency-key"), body)
        message = Message(
            key, message_id, body.message, body.user or "", address, may_start_conversation=body.thread_id is None
        )
        language = self._languages.accepted(request.headers.get("accept-language", ""))
        message = replace(message, context=in_language(None, language))
        if self._join_seconds and body.thread_id is not None:
            wait = self._join_seconds
            message = replace(message, join=Join(wait), debounce_seconds=wait)
        caller = caller_name(owner, "") if owner else ""  # that of a network is known where it connects
        return ParsedChatRequest(replace(message, traceparent=_trace(request.headers), caller=caller), body.stream)


def _request_model(max_message_chars: int) -> type[ChatRequest]:
    message = Field(min_length=1, max_length=max_message_chars, description=MESSAGE, json_schema_extra=VISIBLE_TEXT)
    return create_model("ChatRequest", __base__=ChatRequest, message=(Annotated[str, message, STORABLE, VISIBLE], ...))


def _owner(key: bytes) -> str:
    return sha256(key).hexdigest()[:32]


def _identity(owner: str, key: str | None, body: ChatRequest) -> tuple[str, dict[str, str]]:
    """Returns a message's id, and the digest stored with it to recognise a repetition. Raises MalformedRequest."""
    if key is None:
        return f"once_{secrets.token_hex(12)}", {}
    if not IDEMPOTENCY_KEY.fullmatch(key):
        message = "An Idempotency-Key has 1 to 255 printable ASCII characters."
        raise MalformedRequest(message, code="invalid_field")
    content = json.dumps([body.message, body.thread_id, body.user])
    return f"key_{_digest(f'{owner} {key}')}", {"digest": _digest(content)}


def _trace(headers: Mapping[str, str]) -> str:
    """Returns the trace context of the caller's request: www.w3.org/TR/trace-context."""
    trace = headers.get("traceparent", "")
    return trace if TRACEPARENT.fullmatch(trace) else ""


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:40]
