"""Parses requests to POST /chat: who calls, what the body says, and which message it becomes."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.config import JsonDict

from adapters.base.language import in_language
from adapters.http.settings import NAME, HttpSettings
from adapters.http.uploads import MAX_FILES, MessageUploads
from gateway.configuration import ApiKey
from gateway.domain.context import ChatContext
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey, Join, Message
from gateway.domain.visible_text import is_visible
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.platform import Request, SyntheticMessage
from gateway.web.api.api_keys import ApiKeys, bearer_token, caller_name
from gateway.web.api.idempotency import idempotency_key
from gateway.web.api.json_body import (
    STORABLE,
    STORABLE_PATTERN,
    VISIBLE,
    VISIBLE_PATTERN,
    decode_base64,
    read_model,
    validate,
)
from gateway.web.api.multipart import MAX_NAME_CHARS

BYTES_PER_CHARACTER = 12
"""The most bytes that a character takes in JSON: two escapes of six."""
OTHER_BYTES = 4096

CALLBACK_FIELD = "callback"
"""Where the address of a message has the URL to which its outcome is posted."""
ONCE = "once_"
"""How the id of a message begins that came without an Idempotency-Key."""
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MESSAGE = "What to say."
ASSISTANT = (
    "The name of the assistant to ask, from here on in this thread. Leave it out to ask the one of the thread, and in "
    "a new thread the default one."
)
STREAM = "Answer with server-sent events while the reply is written."
CALLBACK = "Answer 202 at once, and post the outcome of the turn there, signed after Standard Webhooks."
DATA_URL = r"^data:[\x21-\x2b\x2d-\x3a\x3c-\x7e]{0,100};base64,[A-Za-z0-9+/]*={0,2}$"
"""www.rfc-editor.org/rfc/rfc2397, without parameters of the media type."""
INLINE_BYTES = 7 * 2**20
"""Of data URLs, which are in memory as a whole."""
STORABLE_TEXT: JsonDict = {"pattern": STORABLE_PATTERN}
VISIBLE_TEXT: JsonDict = {"pattern": VISIBLE_PATTERN}
"""What the API's documentation says of texts beside their length."""


CallbackUrl = Annotated[str, Field(min_length=1, max_length=2000)]


class InlineFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, json_schema_extra=STORABLE_TEXT), STORABLE]
    data: Annotated[str, Field(pattern=DATA_URL, description="The content, as a data URL in base64.")]


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    message: Annotated[str, Field(min_length=1, description=MESSAGE, json_schema_extra=VISIBLE_TEXT), STORABLE, VISIBLE]
    thread_id: Annotated[str, Field(min_length=1, max_length=128, json_schema_extra=STORABLE_TEXT), STORABLE] | None = (
        Field(None, description="The thread to continue. Leave it out to open a new one.")
    )
    user: Annotated[str, Field(max_length=200, json_schema_extra=STORABLE_TEXT), STORABLE] | None = Field(
        None, description="Who says it, in your words."
    )
    assistant: Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=STORABLE_TEXT), STORABLE] | None = (
        Field(None, description=ASSISTANT)
    )
    stream: bool = Field(default=False, description=STREAM)
    callback_url: CallbackUrl | None = Field(None, description=CALLBACK)
    files: Annotated[list[InlineFile], Field(max_length=MAX_FILES)] = Field(
        [], description="Small files, some 5 MB together. Send larger ones as multipart/form-data."
    )


class ChatForm(BaseModel):
    """The fields of a form, whose files come in parts of their own."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(description=f"{MESSAGE} It may be empty if there are files.")] = ""
    thread_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    user: Annotated[str, Field(max_length=200)] | None = None
    assistant: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(None, description=ASSISTANT)
    stream: bool = Field(default=False, description=STREAM)
    callback_url: CallbackUrl | None = Field(None, description=CALLBACK)


@dataclass(frozen=True, slots=True)
class ParsedChatRequest:
    message: Message
    stream: bool
    inline: tuple[InlineFile, ...] = ()
    """Files that are not stored yet."""


class ChatRequestParser:
    """Authenticates callers and turns their requests into messages. Does no I/O."""

    def __init__(
        self,
        settings: HttpSettings,
        check_callback: Callable[[str], None],
        *,
        max_message_chars: int,
        bound_keys: Callable[[], Sequence[ApiKey]] = tuple,
        languages: Languages = ENGLISH_ONLY,
    ) -> None:
        """``check_callback``: raises MalformedRequest for a URL to which nothing is posted.

        ``bound_keys``: returns those that are valid now besides the settings' keys.
        """
        self._languages = languages
        self._check_callback = check_callback
        self.max_body_bytes = max_message_chars * BYTES_PER_CHARACTER + OTHER_BYTES
        """Of a request without files."""
        self._max_message_chars = max_message_chars
        self._join_seconds = settings.chat_join_seconds
        self.keys = ApiKeys(settings.keys, bound_keys)
        self._adopts_threads = settings.chat_adopts_threads
        self.model = _request_model(max_message_chars)

    @property
    def adopts_threads(self) -> bool:
        """Whether callers may continue threads at a backend that the gateway does not know."""
        return len(self.keys.owners) <= 1 if self._adopts_threads is None else self._adopts_threads

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
        return self.parse_for(supposed.workspace or next(iter(self.keys.owners), ""), request).message

    def owner(self, headers: Mapping[str, str]) -> str:
        """Returns whose threads a caller may see: a digest of its API key, or "" when no keys are set.

        Raises Unauthenticated.
        """
        token = bearer_token(headers.get("authorization", ""))
        return self.keys.owner(token, "Send an API key of this gateway: Authorization: Bearer <key>.")

    def parse_for(self, owner: str, request: Request) -> ParsedChatRequest:
        """Returns what a caller asks whose key was checked before. Raises MalformedRequest."""
        body = read_model(self.model, request.headers.get("content-type", ""), request.body)
        contents = [(file.name, file.data) for file in body.files]
        message_id = message_id_of(owner, request.headers)
        message = self._message(owner, request.headers, body, message_id, contents)
        return ParsedChatRequest(message, body.stream, tuple(body.files))

    def parse_form(
        self, owner: str, headers: Mapping[str, str], fields: Mapping[str, str], uploads: MessageUploads
    ) -> ParsedChatRequest:
        """Returns what a form asks, whose files are stored. Raises MalformedRequest."""
        form = validate(ChatForm, fields)
        if not is_visible(form.message) and not uploads.received:
            raise MalformedRequest("`message` must not be empty unless there are files.", code="empty_message")
        if len(form.message) > self._max_message_chars:
            explanation = f"`message` must have at most {self._max_message_chars} characters."
            raise MalformedRequest(explanation, code="message_too_long")
        contents = [(each.file.name, each.digest) for each in uploads.received]
        message = self._message(owner, headers, form, uploads.message_id, contents)
        return ParsedChatRequest(with_files(message, uploads), form.stream)

    def context(self, headers: Mapping[str, str]) -> ChatContext | None:
        """Returns what is known of who sends a request."""
        return in_language(None, self._languages.accepted(headers.get("accept-language", "")))

    def _message(
        self,
        owner: str,
        headers: Mapping[str, str],
        body: ChatRequest | ChatForm,
        message_id: str,
        contents: Sequence[tuple[str, str]],
    ) -> Message:
        """``contents``: names of the files, and what differs between two contents."""
        key = ConversationKey(NAME, workspace=owner, channel=body.thread_id or f"thr_{secrets.token_hex(12)}")
        address = {} if message_id.startswith(ONCE) else {"digest": _content_digest(body, contents)}
        if body.callback_url is not None:
            self._check_callback(body.callback_url)
            address[CALLBACK_FIELD] = body.callback_url
        message = Message(
            key, message_id, body.message, body.user or "", address, may_start_conversation=body.thread_id is None
        )
        message = replace(message, context=self.context(headers))
        if self._join_seconds and body.thread_id is not None and body.callback_url is None:  # its outcome is its own
            wait = self._join_seconds
            message = replace(message, join=Join(wait), debounce_seconds=wait)
        allowed = tuple(self.keys.assistants_of(owner))
        if body.assistant or allowed:
            message = replace(message, assistant=body.assistant or "", allowed_assistants=allowed)
        caller = caller_name(owner, "") if owner else ""  # that of a network is known where it connects
        return replace(message, traceparent=_trace(headers), caller=caller)


def message_id_of(owner: str, headers: Mapping[str, str]) -> str:
    """Returns the id of a request's message: the same for the same Idempotency-Key. Raises MalformedRequest."""
    key = idempotency_key(headers)
    if key is None:
        return f"{ONCE}{secrets.token_hex(12)}"
    return f"key_{_digest(f'{owner} {key}')}"


def with_files(message: Message, uploads: MessageUploads) -> Message:
    """Returns the message with the files that are stored."""
    return replace(message, files=tuple(each.file for each in uploads.received))


def content_of(file: InlineFile) -> tuple[str, bytes]:
    """Returns the media type and the content of a data URL. Raises MalformedRequest."""
    head, _, encoded = file.data.partition(",")
    try:
        return head.removeprefix("data:").removesuffix(";base64"), decode_base64(encoded)
    except ValueError:
        raise MalformedRequest(f"`files`: the data of {file.name} is not base64.", code="invalid_field") from None


def _request_model(max_message_chars: int) -> type[ChatRequest]:
    message = Field(min_length=1, max_length=max_message_chars, description=MESSAGE, json_schema_extra=VISIBLE_TEXT)
    return create_model("ChatRequest", __base__=ChatRequest, message=(Annotated[str, message, STORABLE, VISIBLE], ...))


def _content_digest(body: ChatRequest | ChatForm, contents: Sequence[tuple[str, str]]) -> str:
    """Returns what differs between two requests with the same Idempotency-Key."""
    said = [body.message, body.thread_id, body.user, *filter(None, [body.assistant, body.callback_url])]
    return _digest(json.dumps([*said, *contents]))


def _trace(headers: Mapping[str, str]) -> str:
    """Returns the trace context of the caller's request: www.w3.org/TR/trace-context."""
    trace = headers.get("traceparent", "")
    return trace if TRACEPARENT.fullmatch(trace) else ""


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:40]
