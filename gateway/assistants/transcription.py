"""Transcribes voice notes and other recordings before they reach a model, if the server has a model for that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gateway import logs
from gateway.assistants.api_client import AssistantApiClient, AssistantConfig
from gateway.assistants.json_fields import as_text
from gateway.domain.errors import AssistantError
from gateway.domain.models import Attachment, File
from gateway.ports.assistant import AttachmentLoader

MAX_RECORDING_BYTES = 25 * 2**20
"""developers.openai.com/api/docs/guides/speech-to-text"""
RECORDING_NAMES = re.compile(r"\.(flac|m4a|mp3|mpga|oga|ogg|opus|wav)$", re.IGNORECASE)
NOT_TRANSCRIBED = "it could not be transcribed"

log = logs.get_logger(__name__)


def with_transcripts(
    api: AssistantApiClient, config: AssistantConfig, attachments: AttachmentLoader
) -> AttachmentLoader:
    """Returns a loader for the same attachments, with each recording replaced by its transcript."""
    if not config.transcription_model:
        return attachments

    async def heard() -> Sequence[Attachment]:
        return [await _transcribed(api, config.transcription_model, attachment) for attachment in await attachments()]

    return heard


async def _transcribed(api: AssistantApiClient, model: str, attachment: Attachment) -> Attachment:
    file, content = attachment.file, attachment.content
    if not content or not _is_recording(file):
        return attachment
    if len(content) > MAX_RECORDING_BYTES:
        return Attachment(file, problem=f"it has more than {MAX_RECORDING_BYTES // 2**20} MB of sound")
    try:
        response = await api.upload("/audio/transcriptions", {"model": model}, file.name, file.media_type, content)
    except AssistantError as exc:
        log.warning(
            "recording not transcribed; the model gets a note instead", model=model, bytes=len(content), error=str(exc)
        )
        return Attachment(file, problem=NOT_TRANSCRIBED)
    transcript = as_text(response.get("text")).strip()
    if not transcript:
        return Attachment(file, problem="nothing is said in it")
    text_file = replace(file, name=f"what is said in {file.name}", media_type="text/plain")
    return Attachment(text_file, transcript.encode())


def _is_recording(file: File) -> bool:
    return file.media_type.startswith("audio/") or (
        not file.media_type and RECORDING_NAMES.search(file.name) is not None
    )
