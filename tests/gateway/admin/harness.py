"""Serves the operator's pages over a test database, fills it with turns, and signs operators in."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

import flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from pydantic import SecretStr
from werkzeug.test import TestResponse

from gateway.admin import AdminSettings, Desk, blueprint
from gateway.domain.errors import TurnNotFound
from gateway.domain.models import Claim, ConversationKey, Failure, Kind, Message, RunId, ThreadId, Turn, TurnId
from gateway.ports.check import Check
from gateway.ports.inbox import Accepted, Inbox
from gateway.ports.store import Bound, Change, Finished, Settled, Started, Store
from gateway.web.chat_page import Assets
from storage.database import Database
from storage.reporting import SqlCatalogue
from storage.store import SqlStore

PASSWORD = "correct horse battery staple"
OWNER = "worker"
TOKEN = re.compile(r'name="token" value="([^"]+)"')


@cache
def assets() -> Assets:
    """Returns one shared instance, as creating it reads and compresses all files."""
    return Assets()


def settings(password: str | None = PASSWORD, **others: Any) -> AdminSettings:
    return AdminSettings(admin_password=SecretStr(password) if password else None, **others)


class _Compiled(BytecodeCache):
    """Caches compiled templates for all apps of the test run."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._known:
            bucket.bytecode_from_string(self._known[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key] = bucket.bytecode_to_string()


COMPILED = _Compiled()


@dataclass
class Scene:
    """The operator's pages over a database. Queued turns are processed only when a test calls for it."""

    desk: Desk
    checked: dict[str, Sequence[Check]] = field(default_factory=dict)
    """The results that the checks of platforms and backend return."""
    asked: list[int] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.desk.store

    def checks(self) -> Mapping[str, Sequence[Check]]:
        self.asked.append(1)
        return self.checked

    # ------------------------------------------------------------ operators

    def app(self, **changes: Any) -> flask.Flask:
        """Returns a Flask app like that of one process; ``changes`` are fields of AdminContext."""
        app = flask.Flask("gateway", static_folder=None)
        app.jinja_options = {"bytecode_cache": COMPILED}
        app.register_blueprint(blueprint(replace(self.desk, **changes)))
        app.register_blueprint(assets().routes())
        return app

    def client(self, **changes: Any) -> FlaskClient:
        return self.app(**changes).test_client()

    def operator(self, **changes: Any) -> FlaskClient:
        """Returns the client of a signed-in operator."""
        client = self.client(**changes)
        assert sign_in(client).status_code == 303
        return client

    # ------------------------------------------------------------ turns

    def wait(self, text: str, channel: str = "c") -> Turn:
        """Enqueues a message and returns its queued turn."""
        message = Message(ConversationKey("fake", channel=channel), secrets.token_hex(8), text, "ann", {"to": channel})
        return self.desk.inbox.accept(message).turn

    def say(self, text: str, channel: str = "c", **outcome: Any) -> Turn:
        """Enqueues a message, processes the queue, and returns the turn; ``outcome``: fields of RecordOutcome."""
        turn = self.wait(text, channel)
        self.work(**outcome)
        return self.desk.inbox.turn(turn.id)

    def fail(self, text: str, code: str = "refused", detail: str = "no", channel: str = "c") -> Turn:
        return self.say(text, channel, reply="", failure=Failure(code, "Sorry.", detail))

    def work(self, **outcome: Any) -> None:
        """Processes all queued turns, as the worker would."""
        claims = list(self.store.claim(OWNER, ("fake",), 100))
        while claims:
            claim = claims.pop()
            (following,) = self.store.write([*_settled(claim, outcome), Finished(claim.lease, claim.turn.id)])[-1:]
            claims += [following] if isinstance(following, Claim) else []


def _settled(claim: Claim, outcome: Mapping[str, Any]) -> Iterator[Change]:
    """Yields the writes that bring a claimed turn to its end."""
    turn, lease = claim.turn, claim.lease
    if turn.message.kind is Kind.RESET:
        yield Bound(lease, None, "")
    elif claim.conversation.thread is None:
        yield Bound(lease, ThreadId(f"thread_of_{turn.id}"), "offline")
    if not turn.state.decided:
        yield Started(lease, turn.id, RunId(f"run_of_{turn.id}"))
        yield Settled(lease, turn.id, **({"reply": f"You said: {turn.message.text}"} | dict(outcome)))


class _Inbox:
    """The part of the inbox that operators need, over a store; it processes no turns."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def accept(self, message: Message) -> Accepted:
        recorded = self._store.record(message, TurnId(f"turn_{secrets.token_hex(12)}"), taker="web")
        return Accepted(recorded.turn, recorded.new, here=False)

    def turn(self, turn: TurnId) -> Turn:
        found = self._store.turn(turn)
        if found is None:
            raise TurnNotFound(f"There is no turn {turn!r}.")
        return found


@contextmanager
def open_scene(url: str) -> Iterator[Scene]:
    store, database = SqlStore(url), Database(url)
    inbox, about = cast("Inbox", _Inbox(store)), "an assistant in memory"
    catalogue = SqlCatalogue(database)
    scene = Scene(Desk(settings(), inbox, store, catalogue, dict, ("fake",), "offline", assets().root, about))
    scene.desk = replace(scene.desk, checks=scene.checks)
    yield scene
    database.close()
    store.close()


def off() -> FlaskClient:
    """Returns the client of a gateway without a password; its pages must use neither store nor inbox."""
    unused = cast("Any", None)
    desk = Desk(settings(None), unused, unused, unused, dict, (), "", assets().root)
    app = flask.Flask("gateway", static_folder=None)
    app.register_blueprint(blueprint(desk))
    app.register_blueprint(assets().routes())
    return app.test_client()


# ---------------------------------------------------------------- an operator


def token_of(response: TestResponse) -> str:
    found = TOKEN.search(response.text)
    assert found, response.text
    return found[1]


def sign_in(client: FlaskClient, password: str = PASSWORD, **more: Any) -> TestResponse:
    form = client.get("/admin/sign-in", **more)
    return client.post("/admin/sign-in", data={"token": token_of(form), "password": password}, **more)


def press(client: FlaskClient, page: str, path: str, **fields: Any) -> TestResponse:
    """Submits one of the forms of a page, with the page's CSRF token."""
    return client.post(path, data={"token": token_of(client.get(page)), **fields})


def text_of(response: TestResponse) -> str:
    """Returns the text of a page without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.text)).split())
