"""Files of the fake API: uploads, files in containers, and the message parts that contain or reference files."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.fakes.openai_messages import ApiError, ApiRequest, ApiResponse, FileUpload, Json, bad_request, list_page
from tests.fakes.openai_state import FakeOpenAIState

PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
SEARCHABLE_SUFFIXES = (".pdf", ".txt", ".md", ".docx", ".pptx", ".json", ".html")
FILE_TOOLS = frozenset({"file_search", "code_interpreter"})
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.+)", re.DOTALL)
NO_IMAGES = "Invalid content type. image_url is only supported by certain models."
NO_FILES = "Invalid content type. This model does not support file content types."

ModelInput = tuple[str, str, str | bytes]
"""An input of the model: its kind (text, image or file), media type or name, and content."""


class FakeFileRoutes:
    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state

    def routes(self) -> dict[str, Any]:
        return {
            "POST /files": self.create,
            "GET /files": self.list,
            "GET /files/{}": self.retrieve,
            "GET /files/{}/content": self.content,
            "DELETE /files/{}": self.delete,
        }

    def audio_routes(self) -> dict[str, Any]:
        return {"POST /audio/transcriptions": self.transcribe}

    async def transcribe(self, request: ApiRequest) -> ApiResponse:
        request.require("file", "model")
        upload = request.body["file"]
        if not isinstance(upload, FileUpload):
            raise bad_request("Invalid type for 'file': expected a file.", param="file", code="invalid_type")
        return ApiResponse({"text": self._state.transcripts.get(upload.content, "")})

    def container_routes(self) -> dict[str, Any]:
        return {"GET /containers/{}/files/{}/content": self.container_content}

    async def create(self, request: ApiRequest) -> ApiResponse:
        request.require("file", "purpose")
        upload = request.body["file"]
        if not isinstance(upload, FileUpload):
            raise bad_request("Invalid type for 'file': expected a file.", param="file", code="invalid_type")
        if request.body["purpose"] not in PURPOSES:
            raise bad_request(f"Invalid value: '{request.body['purpose']}'.", param="purpose", code="invalid_value")
        if not self._state.accepts_files:
            raise bad_request("Files are not supported.", param="file")
        return ApiResponse(_file_json(*self._state.add_file(upload, request.body["purpose"])))

    async def list(self, request: ApiRequest) -> ApiResponse:
        return list_page(request.recorded, [_file_json(name, upload) for name, upload in self._state.uploads.items()])

    async def retrieve(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(_file_json(request.ids[0], self._get_upload(request.ids[0])))

    async def content(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(self._get_upload(request.ids[0]).content)

    async def delete(self, request: ApiRequest) -> ApiResponse:
        self._get_upload(request.ids[0])
        del self._state.uploads[request.ids[0]]
        return ApiResponse({"id": request.ids[0], "object": "file", "deleted": True})

    async def container_content(self, request: ApiRequest) -> ApiResponse:
        container, name = request.ids
        upload = self._state.container_files.get((container, name))
        if upload is None or {container, name} & self._state.lost_ids:
            raise ApiError(404, f"Container file with id '{name}' not found.")
        return ApiResponse(upload.content)

    def _get_upload(self, file_id: str) -> FileUpload:
        if file_id not in self._state.uploads or file_id in self._state.lost_ids:
            raise ApiError(404, f"No such File object: {file_id}", param="id")
        return self._state.uploads[file_id]


def _file_json(file_id: str, upload: FileUpload) -> Json:
    return {
        "id": file_id,
        "object": "file",
        "bytes": len(upload.content),
        "created_at": upload.created_at,
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": "processed",
        "status_details": None,
    }


# ---------------------------------------------------------------- parts of messages


class PartValidator:
    """Validates the parts of user messages as strictly as the real API."""

    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state

    def check_input(self, part: Json, where: str) -> None:
        """Validates a part for the Responses API."""
        kind = part["type"]
        if kind == "input_text":
            _check_keys(part, where, text=str)
        elif kind == "input_image":
            _check_keys(part, where, detail=str, image_url=str, file_id=str)
            self._check_files_accepted(where, NO_IMAGES)
            _check_exactly_one(part, where, "image_url", "file_id")
            _check_image(part.get("image_url"), f"{where}.image_url")
        elif kind == "input_file":
            _check_keys(part, where, detail=str, file_id=str, file_url=str, file_data=str, filename=str)
            self._check_files_accepted(where, NO_FILES)
            _check_exactly_one(part, where, "file_data", "file_id", "file_url")
            if "file_data" in part:
                _check_required(part, where, "filename")
                _parse_data_url(part["file_data"], f"{where}.file_data")

    def check_chat(self, part: Json, where: str) -> None:
        """Validates a part for chat completions."""
        kind = part.get("type")
        if kind == "text":
            _check_keys(part, where, text=str)
        elif kind == "image_url":
            _check_keys(part, where, image_url=dict)
            _check_required(part, where, "image_url")
            self._check_files_accepted(where, NO_IMAGES)
            _check_keys(part["image_url"], f"{where}.image_url", url=str, detail=str)
            _check_image(part["image_url"].get("url"), f"{where}.image_url.url")
        elif kind == "file":
            _check_keys(part, where, file=dict)
            _check_required(part, where, "file")
            self._check_files_accepted(where, NO_FILES)
            _check_keys(part["file"], f"{where}.file", file_data=str, filename=str, file_id=str)
            _check_pdf(part["file"], f"{where}.file")
        else:
            supported = "'text', 'image_url', 'input_audio', 'refusal', 'audio', and 'file'"
            raise bad_request(
                f"Invalid value: '{kind}'. Supported values are: {supported}.", param=where, code="invalid_value"
            )

    def check_image_file(self, part: Json, where: str) -> None:
        """Validates a part for threads that references an uploaded image."""
        _check_keys(part, where, image_file=dict)
        _check_required(part, where, "image_file")
        _check_keys(part["image_file"], f"{where}.image_file", file_id=str, detail=str)
        self._check_files_accepted(where, NO_IMAGES)
        self._get_upload(part["image_file"].get("file_id"), f"{where}.image_file.file_id")

    def check_attachments(self, attachments: Any, where: str) -> list[Json]:
        """Validates attachments for threads: documents, each with the tools that read it."""
        for index, one in enumerate(attachments or []):
            at = f"{where}[{index}]"
            _check_keys(one, at, file_id=str, tools=list)
            self._check_files_accepted(at, NO_FILES)
            upload = self._get_upload(one.get("file_id"), f"{at}.file_id")
            kinds = {tool.get("type") for tool in one.get("tools") or []}
            if not kinds or kinds - FILE_TOOLS:
                raise bad_request(f"Invalid value for '{at}.tools'.", param=f"{at}.tools", code="invalid_value")
            if "file_search" in kinds and not upload.name.endswith(SEARCHABLE_SUFFIXES):
                message = f"Files with extensions [.{upload.name.rpartition('.')[2]}] are not supported for retrieval."
                raise bad_request(message, code="unsupported_file")
        return attachments or []

    def _check_files_accepted(self, where: str, message: str) -> None:
        if not self._state.accepts_files:
            raise bad_request(message, param=where, code="invalid_value")

    def _get_upload(self, file_id: object, where: str) -> FileUpload:
        if file_id not in self._state.uploads:
            raise bad_request(f"The following files were not found: {file_id}.", param=where)
        return self._state.uploads[str(file_id)]


def _check_keys(part: Any, where: str, **types: type) -> None:
    if not isinstance(part, dict):
        raise bad_request(f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type")
    for name, value in part.items():
        if name not in {"type", *types}:
            raise bad_request(
                f"Unknown parameter: '{where}.{name}'.", param=f"{where}.{name}", code="unknown_parameter"
            )
        if name in types and not isinstance(value, types[name]):
            raise bad_request(f"Invalid type for '{where}.{name}'.", param=f"{where}.{name}", code="invalid_type")


def _check_required(part: Json, where: str, name: str) -> None:
    if not part.get(name):
        message = f"Missing required parameter: '{where}.{name}'."
        raise bad_request(message, param=f"{where}.{name}", code="missing_required_parameter")


def _check_exactly_one(part: Json, where: str, *names: str) -> None:
    if sum(bool(part.get(name)) for name in names) != 1:
        raise bad_request(f"Exactly one of {', '.join(names)} must be given for '{where}'.", param=where)


def _parse_data_url(url: Any, where: str) -> tuple[str, bytes]:
    """Returns media type and content of a data URL. Raises ApiError."""
    found = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    try:
        if found:
            return found[1], base64.b64decode(found[2], validate=True)
    except ValueError:
        pass
    message = f"Invalid '{where}'. Expected a base64-encoded data URL with a MIME type."
    raise bad_request(message, param=where, code="invalid_value")


def _check_image(url: Any, where: str) -> None:
    if isinstance(url, str) and url.startswith("https://"):
        return
    if _parse_data_url(url, where)[0] not in IMAGE_TYPES:
        message = "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
        raise bad_request(f"{message}['png', 'jpeg', 'gif', 'webp'].", param=where, code="invalid_image_format")


def _check_pdf(file: Json, where: str) -> None:
    _check_exactly_one(file, where, "file_data", "file_id")
    if "file_data" in file:
        _check_required(file, where, "filename")
        kind, _ = _parse_data_url(file["file_data"], f"{where}.file_data")
        if kind != "application/pdf":
            message = f"Invalid file data: '{where}.file_data'. Expected a base64-encoded data URL with an "
            message += f"application/pdf MIME type, but got unsupported MIME type '{kind}'."
            raise bad_request(message, param=where, code="invalid_value")


# ---------------------------------------------------------------- for assertions of tests


def model_inputs(
    content: Any, attachments: Iterable[Json] = (), uploads: Mapping[str, FileUpload] | None = None
) -> list[ModelInput]:
    """Returns the model's inputs from a message, of any of the three APIs."""
    if isinstance(content, str):
        return [("text", "", content)]
    files = uploads or {}
    named = [files[one["file_id"]] for one in attachments]
    return [
        *(INPUT_READERS[part["type"]](part, files) for part in content),
        *(("file", one.name, one.content) for one in named),
    ]


def _image_input(url: str) -> ModelInput:
    kind, content = _parse_data_url(url, "")
    return "image", kind, content


def _thread_image(part: Json, files: Mapping[str, FileUpload]) -> ModelInput:
    upload = files[part["image_file"]["file_id"]]
    return "image", upload.media_type, upload.content


def _thread_text(part: Json) -> str:
    text = part["text"]
    return str(text["value"] if isinstance(text, dict) else text)


INPUT_READERS: dict[str, Callable[[Json, Mapping[str, FileUpload]], ModelInput]] = {
    "text": lambda part, _: ("text", "", _thread_text(part)),
    "input_text": lambda part, _: ("text", "", part["text"]),
    "image_url": lambda part, _: _image_input(part["image_url"]["url"]),
    "input_image": lambda part, _: _image_input(part["image_url"]),
    "image_file": _thread_image,
    "file": lambda part, _: ("file", part["file"]["filename"], _parse_data_url(part["file"]["file_data"], "")[1]),
    "input_file": lambda part, _: ("file", part["filename"], _parse_data_url(part["file_data"], "")[1]),
}
