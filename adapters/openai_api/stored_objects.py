"""Finds objects that the database keeps beside the turns: those of one caller, and those of a repeated request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from adapters.openai_api.callers import Caller
from adapters.openai_api.repetition import Attempts, Post
from gateway.ports.api_objects import ApiObject, ApiObjects


async def find_own(objects: ApiObjects, caller: Caller, kind: str, name: str) -> ApiObject | None:
    """Returns an object of this kind that this caller made; None if there is none."""
    found = await asyncio.to_thread(objects.get, name)
    return found if found is not None and (found.kind, found.owner) == (kind, caller.owner) else None


async def made_once(
    objects: ApiObjects, attempts: Attempts, post: Post, make: Callable[[], Awaitable[Sequence[ApiObject]]]
) -> Sequence[ApiObject]:
    """Returns what an earlier attempt at a request made, else what ``make`` makes, with ``post.name`` as its request.

    Raises Conflict if the earlier attempt had another body.
    """
    async with attempts.turn_of(post):
        return await _made_before(objects, post) or await make()


async def _made_before(objects: ApiObjects, post: Post) -> Sequence[ApiObject]:
    if not post.may_be_repeated:
        return ()
    found = await asyncio.to_thread(objects.find_by_request, post.first, post.last)
    if found:  # all of one request
        post.check_same(found[0].request or "")
    return found
