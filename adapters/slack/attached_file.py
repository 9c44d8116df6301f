"""Reads what Slack says of a file: docs.slack.dev/reference/objects/file-object"""

from __future__ import annotations

import json

from adapters.base.json_fields import Fields, size_in, text_in
from adapters.slack.event_context import id_of
from gateway.domain.files import File

CANVAS = "application/vnd.slack-docs"
CANVAS_TYPES = frozenset({"quip", "canvas"})
GONE = {
    "tombstone": "[attached: a file that was deleted]",
    "hidden_by_limit": "[attached: a file that is too old for Slack to show it in this workspace]",
}
"""What is said of files whose content is gone, by their mode."""
SPEECH = "slack_audio"
"""The subtype of a voice clip. Its media type may be that of a video."""
UNTOLD = "check_file_info"
"""The ``file_access`` of another company's file, of which only files.info tells: docs.slack.dev/apis/slack-connect"""


def file_of(fields: Fields) -> File | None:
    """Returns a file; None if it has no id, or its content is gone. Its address is "" if only files.info tells it."""
    file_id = id_of(fields, "id")
    if not file_id or text_in(fields, "mode") in GONE:
        return None
    untold = fields.get("file_access") == UNTOLD
    url = "" if untold else text_in(fields, "url_private_download") or text_in(fields, "url_private")
    reference = json.dumps({"id": file_id, "url": url}, separators=(",", ":"))
    name = text_in(fields, "name") or text_in(fields, "title") or file_id
    return File(name, reference, _media_type(fields), size_in(fields, "size"))


def _media_type(fields: Fields) -> str:
    media_type = text_in(fields, "mimetype")
    if fields.get("filetype") in CANVAS_TYPES:
        return CANVAS
    if fields.get("subtype") == SPEECH and not media_type.startswith("audio/"):
        return f"audio/{media_type.partition('/')[2] or 'mp4'}"
    return media_type
