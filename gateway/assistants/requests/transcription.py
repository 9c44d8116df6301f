"""Transcribes voice notes and other recordings before they reach a model, if the server has a model for that."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace

from gateway import logs
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.errors.error_map import NotFound
from gateway.assistants.json_fields import as_number, as_object, as_text, as_usage
from gateway.assistants.requests.server_limits import Feature, ServerLimits
from gateway.assistants.sse import Json
from gateway.domain.errors import AssistantError, AssistantMisconfigured
from gateway.domain.files import Attachment, BytesContent, Content, File
from gateway.domain.models import NO_TOKENS, RunId, Usage
from gateway.domain.run_events import UsageCounted
from gateway.ports.assistant import AttachmentLoader

MAX_RECORDING_BYTES = 25 * 2**20
"""developers.openai.com/api/docs/guides/speech-to-text"""
RECORDING_NAMES = re.compile(r"\.(flac|m4a|mp3|mpga|oga|ogg|opus|wav)$", re.IGNORECASE)
TOKENS_PER_SECOND, CHARS_PER_TOKEN = 10, 4
"""A second of sound is ten tokens (developers.openai.com/api/docs/guides/realtime-costs)."""
RECORDING_BYTES_PER_SECOND = 4000
"""Of a voice note: Opus at 32 kbit/s."""
NOT_TRANSCRIBED = "it could not be transcribed"

log = logs.get_logger(__name__)


class Transcripts:
    """Loads the attachments of one turn, with each recording replaced by its transcript."""

    def __init__(
        self, api: AssistantApiClient, config: AssistantConfig, attachments: AttachmentLoader, limits: ServerLimits
    ) -> None:
        """``limits``: of the server; one that has no route or no model for it is not asked again."""
        self._limits = limits
        self._api = api
        self._model = config.transcription_model
        self._attachments = attachments
        self._counted: list[UsageCounted] = []

    async def load(self) -> Sequence[Attachment]:
        """The AttachmentLoader for the backend."""
        attachments = await self._attachments()
        return [await self._heard(each) for each in attachments] if self._model else attachments

    def take_counted(self) -> Sequence[UsageCounted]:
        """Returns what the server counted for the recordings since the last call."""
        counted, self._counted = self._counted, []
        return counted

    async def _heard(self, attachment: Attachment) -> Attachment:
        file, content = attachment.file, attachment.content
        if not content.size or not _is_recording(file):
            return attachment
        if content.size > MAX_RECORDING_BYTES:
            return Attachment(file, problem=f"it has more than {MAX_RECORDING_BYTES // 2**20} MB of sound")
        transcript = await self._transcribe(file, content)
        if not transcript:
            return Attachment(file, problem=NOT_TRANSCRIBED if transcript is None else "nothing is said in it")
        text_file = replace(file, name=f"what is said in {file.name}", media_type="text/plain")
        return Attachment(text_file, BytesContent(transcript.encode()))

    async def _transcribe(self, file: File, content: Content) -> str | None:
        """Returns what is said; None if the server does not tell."""
        if Feature.TRANSCRIPTION in self._limits:
            return None
        fields, path = {"model": self._model}, "/audio/transcriptions"
        try:
            response = await self._api.upload(path, fields, file.name, file.media_type, content)
        except AssistantError as exc:
            if isinstance(exc, NotFound | AssistantMisconfigured):
                self._limits.note(Feature.TRANSCRIPTION, exc)
            log.warning("recording not transcribed; the model gets a note instead", model=self._model, error=str(exc))
            return None
        self._count(response, content.size)
        return as_text(response.get("text")).strip()

    def _count(self, response: Json, size: int) -> None:
        """Notes the tokens. A server that counts seconds, or nothing, is estimated by the length of the recording."""
        usage = as_usage(response.get("usage"))
        if usage == NO_TOKENS:
            seconds = as_number(as_object(response.get("usage")).get("seconds")) or size / RECORDING_BYTES_PER_SECOND
            words = as_text(response.get("text"))
            usage = Usage(math.ceil(seconds * TOKENS_PER_SECOND), math.ceil(len(words) / CHARS_PER_TOKEN))
        run_id = RunId(f"transcription {secrets.token_hex(8)}")
        self._counted.append(UsageCounted(run_id, usage, self._model, beside=True))


def _is_recording(file: File) -> bool:
    return file.media_type.startswith("audio/") or (
        not file.media_type and RECORDING_NAMES.search(file.name) is not None
    )
