"""Files of the fake API: uploads, files in containers, and the message parts that contain or reference files."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.fakes.openai_messages import Answer, ApiError, Call, Json, Upload, bad, page
from tests.fakes.openai_state import World

PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
SEARCHED = (".pdf", ".txt", ".md", ".docx", ".pptx", ".json", ".html")
TOOLS = frozenset({"file_search", "code_interpreter"})
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.+)", re.DOTALL)
NO_IMAGES = "Invalid content type. image_url is only supported by certain models."
NO_FILES = "Invalid content type. This model does not support file content types."

Given = tuple[str, str, str | bytes]
"""An input of the model: its kind (text, image or file), media type or name, and content."""


class FileRoom:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> dict[str, Any]:
        return {
            "POST /files": self.create,
            "GET /files": self.list,
            "GET /files/{}": self.retrieve,
            "GET /files/{}/content": self.content,
            "DELETE /files/{}": self.delete,
        }

    def audio(self) -> dict[str, Any]:
        return {"POST /audio/transcriptions": self.transcribe}

    async def transcribe(self, call: Call) -> Answer:
        call.required("file", "model")
        upload = call.body["file"]
        if not isinstance(upload, Upload):
            raise bad("Invalid type for 'file': expected a file.", param="file", code="invalid_type")
        return Answer({"text": self._world.transcripts.get(upload.content, "")})

    def containers(self) -> dict[str, Any]:
        return {"GET /containers/{}/files/{}/content": self.container_content}

    async def create(self, call: Call) -> Answer:
        call.required("file", "purpose")
        upload = call.body["file"]
        if not isinstance(upload, Upload):
            raise bad("Invalid type for 'file': expected a file.", param="file", code="invalid_type")
        if call.body["purpose"] not in PURPOSES:
            raise bad(f"Invalid value: '{call.body['purpose']}'.", param="purpose", code="invalid_value")
        if not self._world.takes_files:
            raise bad("Files are not supported.", param="file")
        return Answer(_shown(*self._world.keep_file(upload, call.body["purpose"])))

    async def list(self, call: Call) -> Answer:
        return page(call.seen, [_shown(name, upload) for name, upload in self._world.uploads.items()])

    async def retrieve(self, call: Call) -> Answer:
        return Answer(_shown(call.ids[0], self._found(call.ids[0])))

    async def content(self, call: Call) -> Answer:
        return Answer(self._found(call.ids[0]).content)

    async def delete(self, call: Call) -> Answer:
        self._found(call.ids[0])
        del self._world.uploads[call.ids[0]]
        return Answer({"id": call.ids[0], "object": "file", "deleted": True})

    async def container_content(self, call: Call) -> Answer:
        container, name = call.ids
        upload = self._world.container_files.get((container, name))
        if upload is None or {container, name} & self._world.lost:
            raise ApiError(404, f"Container file with id '{name}' not found.")
        return Answer(upload.content)

    def _found(self, name: str) -> Upload:
        if name not in self._world.uploads or name in self._world.lost:
            raise ApiError(404, f"No such File object: {name}", param="id")
        return self._world.uploads[name]


def _shown(name: str, upload: Upload) -> Json:
    return {
        "id": name,
        "object": "file",
        "bytes": len(upload.content),
        "created_at": upload.created_at,
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": "processed",
        "status_details": None,
    }


# ---------------------------------------------------------------- parts of messages


class Parts:
    """Validates the parts of user messages as strictly as the real API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def check_input(self, part: Json, where: str) -> None:
        """Validates a part for the Responses API."""
        kind = part["type"]
        if kind == "input_text":
            _keys(part, where, text=str)
        elif kind == "input_image":
            _keys(part, where, detail=str, image_url=str, file_id=str)
            self._taken(where, NO_IMAGES)
            _one_of(part, where, "image_url", "file_id")
            _check_image(part.get("image_url"), f"{where}.image_url")
        elif kind == "input_file":
            _keys(part, where, detail=str, file_id=str, file_url=str, file_data=str, filename=str)
            self._taken(where, NO_FILES)
            _one_of(part, where, "file_data", "file_id", "file_url")
            if "file_data" in part:
                _need(part, where, "filename")
                _data(part["file_data"], f"{where}.file_data")

    def check_chat(self, part: Json, where: str) -> None:
        """Validates a part for chat completions."""
        kind = part.get("type")
        if kind == "text":
            _keys(part, where, text=str)
        elif kind == "image_url":
            _keys(part, where, image_url=dict)
            _need(part, where, "image_url")
            self._taken(where, NO_IMAGES)
            _keys(part["image_url"], f"{where}.image_url", url=str, detail=str)
            _check_image(part["image_url"].get("url"), f"{where}.image_url.url")
        elif kind == "file":
            _keys(part, where, file=dict)
            _need(part, where, "file")
            self._taken(where, NO_FILES)
            _keys(part["file"], f"{where}.file", file_data=str, filename=str, file_id=str)
            _check_pdf(part["file"], f"{where}.file")
        else:
            supported = "'text', 'image_url', 'input_audio', 'refusal', 'audio', and 'file'"
            raise bad(f"Invalid value: '{kind}'. Supported values are: {supported}.", param=where, code="invalid_value")

    def check_image_file(self, part: Json, where: str) -> None:
        """Validates a part for threads that references an uploaded image."""
        _keys(part, where, image_file=dict)
        _need(part, where, "image_file")
        _keys(part["image_file"], f"{where}.image_file", file_id=str, detail=str)
        self._taken(where, NO_IMAGES)
        self._upload(part["image_file"].get("file_id"), f"{where}.image_file.file_id")

    def check_attachments(self, given: Any, where: str) -> list[Json]:
        """Validates attachments for threads: documents, each with the tools that read it."""
        for index, one in enumerate(given or []):
            at = f"{where}[{index}]"
            _keys(one, at, file_id=str, tools=list)
            self._taken(at, NO_FILES)
            upload = self._upload(one.get("file_id"), f"{at}.file_id")
            kinds = {tool.get("type") for tool in one.get("tools") or []}
            if not kinds or kinds - TOOLS:
                raise bad(f"Invalid value for '{at}.tools'.", param=f"{at}.tools", code="invalid_value")
            if "file_search" in kinds and not upload.name.endswith(SEARCHED):
                message = f"Files with extensions [.{upload.name.rpartition('.')[2]}] are not supported for retrieval."
                raise bad(message, code="unsupported_file")
        return given or []

    def _taken(self, where: str, message: str) -> None:
        if not self._world.takes_files:
            raise bad(message, param=where, code="invalid_value")

    def _upload(self, name: object, where: str) -> Upload:
        if name not in self._world.uploads:
            raise bad(f"The following files were not found: {name}.", param=where)
        return self._world.uploads[str(name)]


def _keys(part: Any, where: str, **types: type) -> None:
    if not isinstance(part, dict):
        raise bad(f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type")
    for name, value in part.items():
        if name not in {"type", *types}:
            raise bad(f"Unknown parameter: '{where}.{name}'.", param=f"{where}.{name}", code="unknown_parameter")
        if name in types and not isinstance(value, types[name]):
            raise bad(f"Invalid type for '{where}.{name}'.", param=f"{where}.{name}", code="invalid_type")


def _need(part: Json, where: str, name: str) -> None:
    if not part.get(name):
        message = f"Missing required parameter: '{where}.{name}'."
        raise bad(message, param=f"{where}.{name}", code="missing_required_parameter")


def _one_of(part: Json, where: str, *names: str) -> None:
    if sum(bool(part.get(name)) for name in names) != 1:
        raise bad(f"Exactly one of {', '.join(names)} must be given for '{where}'.", param=where)


def _data(url: Any, where: str) -> tuple[str, bytes]:
    """Returns media type and content of a data URL. Raises ApiError."""
    found = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    try:
        if found:
            return found[1], base64.b64decode(found[2], validate=True)
    except ValueError:
        pass
    message = f"Invalid '{where}'. Expected a base64-encoded data URL with a MIME type."
    raise bad(message, param=where, code="invalid_value")


def _check_image(url: Any, where: str) -> None:
    if isinstance(url, str) and url.startswith("https://"):
        return
    if _data(url, where)[0] not in IMAGES:
        message = "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
        raise bad(f"{message}['png', 'jpeg', 'gif', 'webp'].", param=where, code="invalid_image_format")


def _check_pdf(file: Json, where: str) -> None:
    _one_of(file, where, "file_data", "file_id")
    if "file_data" in file:
        _need(file, where, "filename")
        kind, _ = _data(file["file_data"], f"{where}.file_data")
        if kind != "application/pdf":
            message = f"Invalid file data: '{where}.file_data'. Expected a base64-encoded data URL with an "
            message += f"application/pdf MIME type, but got unsupported MIME type '{kind}'."
            raise bad(message, param=where, code="invalid_value")


# ---------------------------------------------------------------- for assertions of tests


def given(content: Any, attachments: Iterable[Json] = (), uploads: Mapping[str, Upload] | None = None) -> list[Given]:
    """Returns the model's inputs from a message, of any of the three APIs."""
    if isinstance(content, str):
        return [("text", "", content)]
    files = uploads or {}
    named = [files[one["file_id"]] for one in attachments]
    return [*(READ[part["type"]](part, files) for part in content), *(("file", one.name, one.content) for one in named)]


def _image(url: str) -> Given:
    kind, content = _data(url, "")
    return "image", kind, content


def _thread_image(part: Json, files: Mapping[str, Upload]) -> Given:
    upload = files[part["image_file"]["file_id"]]
    return "image", upload.media_type, upload.content


def _thread_text(part: Json) -> str:
    text = part["text"]
    return str(text["value"] if isinstance(text, dict) else text)


READ: dict[str, Callable[[Json, Mapping[str, Upload]], Given]] = {
    "text": lambda part, _: ("text", "", _thread_text(part)),
    "input_text": lambda part, _: ("text", "", part["text"]),
    "image_url": lambda part, _: _image(part["image_url"]["url"]),
    "input_image": lambda part, _: _image(part["image_url"]),
    "image_file": _thread_image,
    "file": lambda part, _: ("file", part["file"]["filename"], _data(part["file"]["file_data"], "")[1]),
    "input_file": lambda part, _: ("file", part["filename"], _data(part["file_data"], "")[1]),
}
