"""Files: attachments of users, uploads of bots, and downloads."""

from __future__ import annotations

import mimetypes
from dataclasses import replace

from aiohttp import web

from tests.fakes.slack_arguments import Args, check_ts
from tests.fakes.slack_chat import where_to_post
from tests.fakes.slack_faults import Json, SlackError, invalid
from tests.fakes.slack_json import file_json
from tests.fakes.slack_state import File, Message, Workspace, World
from tests.fakes.slack_web_api import bearer

Attached = tuple[str, bytes] | tuple[str, bytes, str] | File
"""Name, content and optionally the media type (default: guessed from the name); or a complete file record."""

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to your workspace</body></html>"


def keep(world: World, attached: Attached, user: str, team: str) -> File:
    """Stores a file attached by a user."""
    if isinstance(attached, File):
        file = attached
    else:
        name, content, *kind = attached
        file = File(_new_id(world), name, kind[0] if kind else _guess(name), team, user, content=content)
    world.files[file.id] = file
    return file


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _new_id(world: World) -> str:
    return f"F0{next(world.numbers):07d}"


def info(world: World, workspace: Workspace, args: Args) -> Json:
    return {"ok": True, "file": file_json(world, _find(world, workspace, args.need("file"))), "comments": []}


def get_upload_url(world: World, workspace: Workspace, args: Args) -> Json:
    """files.getUploadURLExternal: creates a file without content and returns its upload URL."""
    name = args.need("filename")
    if args.number("length", 0) <= 0:
        raise SlackError("missing_argument")
    file = File(_new_id(world), name, _guess(name), workspace.team, workspace.bot_user)
    world.files[file.id] = replace(file, more={"length": args.number("length", 0)})
    return {"ok": True, "file_id": file.id, "upload_url": f"{world.url}/upload/v1/{file.id}"}


async def upload(world: World, request: web.BaseRequest, file_id: str) -> web.Response:
    """Receives the content, as the body or as a form file. Refuses a length other than announced."""
    if request.content_type == "multipart/form-data":
        parts = [part for part in (await request.post()).values() if isinstance(part, web.FileField)]
        content = parts[0].file.read() if parts else b""
    else:
        content = await request.read()
    with world.change():
        file = world.files.get(file_id)
        if file is None or len(content) != file.more.get("length"):
            return web.Response(status=400, text="Not Found" if file is None else "length mismatch")
        world.files[file_id] = replace(file, content=content, more={})
    return web.Response(text=f"OK - {len(content)}")


def complete_upload(world: World, workspace: Workspace, args: Args) -> Json:
    """files.completeUploadExternal: shares the files as one message in each given channel."""
    named = args.things("files", "invalid_arguments")
    if not named:
        raise invalid("missing required field: files")
    files = [replace(_uploaded(world, workspace, str(one.get("id"))), title=one.get("title") or "") for one in named]
    world.files.update((file.id, file) for file in files)
    channels = args.word("channels").split(",") if args.word("channels") else [args.word("channel_id")]
    for channel in filter(None, channels):
        _share(world, workspace, channel, args, files)
    return {"ok": True, "files": [file_json(world, file) for file in files]}


def _share(world: World, workspace: Workspace, channel: str, args: Args, files: list[File]) -> None:
    message = Message("", where_to_post(world, workspace, channel), workspace.bot_user, args.word("initial_comment"))
    message.thread_ts = check_ts(args, "thread_ts")
    message.files, message.bot = tuple(files), workspace
    message.ts = world.new_ts()
    world.put(message)
    where = "private" if message.channel.kind in {"im", "group"} else "public"
    for file in files:
        shares = {where: {message.channel.id: [{"ts": message.ts}]}}
        world.files[file.id] = replace(file, more={**file.more, "shares": shares})


def _uploaded(world: World, workspace: Workspace, file_id: str) -> File:
    file = _find(world, workspace, file_id)
    if "length" in file.more:
        raise SlackError("file_not_found")
    return file


def _find(world: World, workspace: Workspace, file_id: str) -> File:
    file = world.files.get(file_id)
    if file is None or file.team != workspace.team:
        raise SlackError("file_not_found")
    return file


def download(world: World, request: web.BaseRequest, place: str) -> web.Response:
    """Returns the content for a bot of the same workspace with files:read; for anyone else a login page with status
    200, like Slack.
    """
    team, _, file_id = place.partition("/")[0].partition("-")
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        grant = bearer(world, token)
        file = _find(world, grant.workspace, file_id)
    except SlackError:
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    if grant.workspace.team != team or "files:read" not in grant.scopes:
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    return web.Response(body=file.content, content_type=file.mimetype)
