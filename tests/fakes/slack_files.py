"""Files: attachments of users, uploads of bots, and downloads."""

from __future__ import annotations

import mimetypes
from dataclasses import replace

from aiohttp import web

from tests.fakes.slack_arguments import SlackArguments
from tests.fakes.slack_chat import postable_channel, thread_of
from tests.fakes.slack_faults import Json, SlackError, invalid_arguments
from tests.fakes.slack_json import file_json
from tests.fakes.slack_state import FakeSlackMessage, SlackFile, SlackState, SlackWorkspace
from tests.fakes.slack_web_api import grant_for_token

FileAttachment = tuple[str, bytes] | tuple[str, bytes, str] | SlackFile
"""Name, content and optionally the media type (default: guessed from the name); or a complete file record."""

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to your workspace</body></html>"


def add_file(state: SlackState, attached: FileAttachment, user: str, team: str) -> SlackFile:
    """Stores a file attached by a user."""
    if isinstance(attached, SlackFile):
        file = attached
    else:
        name, content, *kind = attached
        file = SlackFile(
            _new_id(state), name, kind[0] if kind else _guess_media_type(name), team, user, content=content
        )
    state.files[file.id] = file
    return file


def _guess_media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _new_id(state: SlackState) -> str:
    return f"F0{next(state.ids):07d}"


def info(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    return {"ok": True, "file": file_json(state, _find(state, workspace, args.required_string("file"))), "comments": []}


def get_upload_url(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """files.getUploadURLExternal: creates a file without content and returns its upload URL."""
    name = args.required_string("filename")
    if args.number("length", 0) <= 0:
        raise SlackError("missing_argument")
    file = SlackFile(_new_id(state), name, _guess_media_type(name), workspace.team, workspace.bot_user)
    state.files[file.id] = replace(file, extra_fields={"length": args.number("length", 0)})
    return {"ok": True, "file_id": file.id, "upload_url": f"{state.url}/upload/v1/{file.id}"}


async def upload(state: SlackState, request: web.BaseRequest, file_id: str) -> web.Response:
    """Receives the content, as the body or as a form file. Refuses a length other than announced."""
    if request.content_type == "multipart/form-data":
        parts = [part for part in (await request.post()).values() if isinstance(part, web.FileField)]
        content = parts[0].file.read() if parts else b""
    else:
        content = await request.read()
    with state.notify():
        file = state.files.get(file_id)
        if file is None or len(content) != file.extra_fields.get("length"):
            return web.Response(status=400, text="Not Found" if file is None else "length mismatch")
        state.files[file_id] = replace(file, content=content, extra_fields={})
    return web.Response(text=f"OK - {len(content)}")


def complete_upload(state: SlackState, workspace: SlackWorkspace, args: SlackArguments) -> Json:
    """files.completeUploadExternal: shares the files as one message in each given channel."""
    named = args.json_objects("files", "invalid_arguments")
    if not named:
        raise invalid_arguments("missing required field: files")
    files = [replace(_uploaded(state, workspace, str(one.get("id"))), title=one.get("title") or "") for one in named]
    state.files.update((file.id, file) for file in files)
    channels = args.string("channels").split(",") if args.string("channels") else [args.string("channel_id")]
    for channel in filter(None, channels):
        _share(state, workspace, channel, args, files)
    return {"ok": True, "files": [file_json(state, file) for file in files]}


def _share(
    state: SlackState, workspace: SlackWorkspace, channel: str, args: SlackArguments, files: list[SlackFile]
) -> None:
    message = FakeSlackMessage(
        "", postable_channel(state, workspace, channel), workspace.bot_user, args.string("initial_comment")
    )
    message.thread_ts = thread_of(message.channel, args)
    message.files, message.bot = tuple(files), workspace
    message.ts = state.new_ts()
    state.add_message(message)
    where = "private" if message.channel.kind in {"im", "group"} else "public"
    for file in files:
        shares = {where: {message.channel.id: [{"ts": message.ts}]}}
        state.files[file.id] = replace(file, extra_fields={**file.extra_fields, "shares": shares})


def _uploaded(state: SlackState, workspace: SlackWorkspace, file_id: str) -> SlackFile:
    file = _find(state, workspace, file_id)
    if "length" in file.extra_fields:
        raise SlackError("file_not_found")
    return file


def _find(state: SlackState, workspace: SlackWorkspace, file_id: str) -> SlackFile:
    file = state.files.get(file_id)
    if file is None or file.team != workspace.team:
        raise SlackError("file_not_found")
    return file


def download(state: SlackState, request: web.BaseRequest, place: str) -> web.Response:
    """Returns the content for a bot of the same workspace with files:read; for anyone else a login page with status
    200, like Slack.
    """
    team, _, file_id = place.partition("/")[0].partition("-")
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        grant = grant_for_token(state, token)
        file = _find(state, grant.workspace, file_id)
    except SlackError:
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    if grant.workspace.team != team or "files:read" not in grant.scopes:
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    return web.Response(body=file.content, content_type=file.mimetype)
