"""Recognises a POST that a client sends again, so that it has no second effect.

OpenAI's SDKs send an ``Idempotency-Key`` only where they are told to. They repeat a POST after a lost connection or a
time-out, and say so by ``x-stainless-retry-count`` (``_build_headers`` in openai-python's _base_client.py).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import sha256

from adapters.openai_api.callers import Caller
from adapters.openai_api.errors import InvalidRequest
from gateway.domain.errors import Conflict
from gateway.web.api.routes import HttpRequest

SECONDS = 60.0
"""How long ago the first attempt may have been, or the end of what it began."""
LONGEST_SECONDS = 3600.0
"""How long ago it may have been if what it began takes so long."""
DIGEST_LENGTH = 32
TIME_LENGTH = 16
RANDOM_LENGTH = 8
KEY_LENGTH = 255
KEY_MARK = "key"
NUMBER_LENGTH = 4
"""Of a name after the first of one Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Post:
    """One attempt at a POST request.

    ``name`` is stored with what the request creates: a turn's message id, or an object's column ``request``. Names of
    attempts at one request lie between ``first`` and ``last``, in every collation.
    """

    name: str
    first: str
    last: str
    may_be_repeated: bool
    """Whether an earlier attempt may have arrived, so that its effect is to be looked for."""
    first_of_long: str = ""
    """As ``first``, for what may take long; "" if it is the same."""

    @property
    def has_key(self) -> bool:
        """Whether it is known by an Idempotency-Key."""
        return self.name.startswith(KEY_MARK)

    def is_of(self, name: str) -> bool:
        """Returns whether an attempt of this name is one at the same request."""
        return (self.first_of_long or self.first) <= name <= self.last

    def check_same(self, earlier: str) -> None:
        """Raises Conflict if the attempt of this name used the same Idempotency-Key for another body."""
        if earlier.startswith(KEY_MARK) and not earlier.startswith(self.name):
            explanation = "This Idempotency-Key was used with another body. Use a new key for a new request."
            raise Conflict(explanation, code="idempotency_conflict")

    def name_after(self, earlier: str) -> str:
        """Returns the name of the turn that takes the place of one that has been cancelled.

        It follows from that turn's, so that of several attempts, in whichever processes, only one makes it.
        """
        if not self.has_key:
            return self.name
        number = int(earlier[len(self.name) :] or "0", 16)
        return f"{self.name}{number + 1:0{NUMBER_LENGTH}x}"


def read_post(caller: Caller, request: HttpRequest, body: bytes) -> Post:
    """Raises InvalidRequest for an Idempotency-Key that is none."""
    key = request.headers.get("idempotency-key")
    if key is not None:
        return _by_key(caller, request, key, body)
    digest = _digest(caller.owner or caller.name, request.path, body.decode("latin-1"))
    now = time.time()
    name = digest + _time(now) + secrets.token_hex(RANDOM_LENGTH // 2)
    since, long_since = (digest + _time(now - ago) + "0" * RANDOM_LENGTH for ago in (SECONDS, LONGEST_SECONDS))
    return Post(name, since, digest + "f" * (TIME_LENGTH + RANDOM_LENGTH), is_repeated(request), long_since)


def is_repeated(request: HttpRequest) -> bool:
    """Returns whether an SDK says that it sends a request again."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")


def _by_key(caller: Caller, request: HttpRequest, key: str, body: bytes) -> Post:
    if not key or len(key) > KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest("An Idempotency-Key has 1 to 255 printable ASCII characters.", param="Idempotency-Key")
    known = KEY_MARK + _digest(caller.owner or caller.name, request.path, key)
    name = known + sha256(body).hexdigest()[:DIGEST_LENGTH]
    return Post(name, known + "0" * DIGEST_LENGTH, known + "f" * DIGEST_LENGTH, may_be_repeated=True)


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]


def _time(seconds: float) -> str:
    return f"{int(seconds * 1e6):0{TIME_LENGTH}x}"


class Attempts:
    """Lets attempts at one request through one after the other: the second finds what the first has committed.

    Used on one event loop; between processes, the attempts are as far apart as the client's time-out.
    """

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}

    def turn_of(self, post: Post) -> AbstractAsyncContextManager[None]:
        """Held until what the request creates is committed."""
        return _Attempt(self._locks, post.last)


class _Lock(asyncio.Lock):
    """The lock of one request. It is there as long as an attempt holds it or waits for it."""

    users = 0


class _Attempt(AbstractAsyncContextManager[None]):
    def __init__(self, locks: dict[str, _Lock], name: str) -> None:
        self._locks = locks
        self._name = name

    async def __aenter__(self) -> None:
        lock = self._locks.setdefault(self._name, _Lock())
        lock.users += 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave(lock)
            raise

    async def __aexit__(self, *_: object) -> None:
        lock = self._locks[self._name]
        lock.release()
        self._leave(lock)

    def _leave(self, lock: _Lock) -> None:
        lock.users -= 1
        if not lock.users:
            del self._locks[self._name]
