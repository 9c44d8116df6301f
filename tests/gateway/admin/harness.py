"""Serves the operator's pages over a test database, fills it with turns, and signs operators in."""

from __future__ import annotations

import asyncio
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

from gateway.admin import AdminContext, AdminSettings
from gateway.admin.blueprint import blueprint
from gateway.domain.conversations import Claim
from gateway.domain.errors import TurnNotFound
from gateway.domain.models import ConversationKey, Failure, Message, MessageKind, RunId, ThreadId, Turn, TurnId
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.audit_trail import ActionFilter
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AcceptResult, Inbox
from gateway.ports.leased_writes import FinishTurn, LeasedWrite, RecordOutcome, SetRun, SetThread
from gateway.ports.store import Store
from gateway.web.chat_page import Assets
from storage.store import SqlStore
from tests.contracts.store_helpers import enqueue_one

PASSWORD = "correct horse battery staple"
WORKER_NAME = "worker"
CSRF_TOKEN_FIELD = re.compile(r'name="token" value="([^"]+)"')


@cache
def assets() -> Assets:
    """Returns one shared instance, as creating it reads and compresses all files."""
    return Assets()


def settings(password: str | None = PASSWORD, **others: Any) -> AdminSettings:
    return AdminSettings(admin_password=SecretStr(password) if password else None, **others)


class _CompiledTemplates(BytecodeCache):
    """Caches compiled templates for all apps of the test run."""

    def __init__(self) -> None:
        self._bytecode: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._bytecode:
            bucket.bytecode_from_string(self._bytecode[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._bytecode[bucket.key] = bucket.bytecode_to_string()


COMPILED_TEMPLATES = _CompiledTemplates()


@dataclass
class AdminHarness:
    """The operator's pages over a database. Queued turns are processed only when a test calls for it."""

    context: AdminContext
    check_results: dict[str, Sequence[CheckResult]] = field(default_factory=dict)
    """The results that the checks of platforms and backend return."""
    check_calls: list[int] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.context.store

    def checks(self) -> Mapping[str, Sequence[CheckResult]]:
        self.check_calls.append(1)
        return self.check_results

    def audited(self) -> list[tuple[str, str, str]]:
        """Returns who did what to what, the oldest first."""
        found = self.context.store.audit_trail.find(ActionFilter(), limit=1000)
        return [(each.actor, each.action, each.target) for each in reversed(found)]

    # ------------------------------------------------------------ operators

    def app(self, **changes: Any) -> flask.Flask:
        """Returns a Flask app like that of one process; ``changes`` are fields of AdminContext."""
        app = flask.Flask("gateway", static_folder=None)
        app.jinja_options = {"bytecode_cache": COMPILED_TEMPLATES}
        app.register_blueprint(blueprint(replace(self.context, **changes)))
        app.register_blueprint(assets().routes())
        return app

    def client(self, **changes: Any) -> FlaskClient:
        return self.app(**changes).test_client()

    def signed_in_client(self, password: str = PASSWORD, **changes: Any) -> FlaskClient:
        """Returns the client of a signed-in operator, or of whom the password lets in."""
        client = self.client(**changes)
        assert sign_in(client, password).status_code == 303
        return client

    # ------------------------------------------------------------ turns

    def enqueue(self, text: str, channel: str = "c") -> Turn:
        """Enqueues a message and returns its queued turn."""
        message = Message(ConversationKey("fake", channel=channel), secrets.token_hex(8), text, "ann", {"to": channel})
        return self.context.inbox.accept(message).turn

    def finish_turn(self, text: str, channel: str = "c", **outcome: Any) -> Turn:
        """Enqueues a message, processes the queue, and returns the turn; ``outcome``: fields of RecordOutcome."""
        turn = self.enqueue(text, channel)
        self.work_off_queue(**outcome)
        return self.context.inbox.get_turn(turn.id)

    def fail_turn(self, text: str, code: str = "refused", detail: str = "no", channel: str = "c") -> Turn:
        return self.finish_turn(text, channel, reply="", failure=Failure(code, "Sorry.", detail))

    def work_off_queue(self, **outcome: Any) -> None:
        """Processes all queued turns, as the worker would."""
        claims = list(self.store.claim(WORKER_NAME, ("fake",), 100))
        while claims:
            claim = claims.pop()
            (following,) = self.store.apply_writes(
                [*_writes_to_finish(claim, outcome), FinishTurn(claim.lease, claim.turn)]
            )[-1:]
            claims += [following] if isinstance(following, Claim) else []


def _writes_to_finish(claim: Claim, outcome: Mapping[str, Any]) -> Iterator[LeasedWrite]:
    """Yields the writes that bring a claimed turn to its end."""
    turn, lease = claim.turn, claim.lease
    if turn.message.kind is MessageKind.RESET:
        yield SetThread(lease, None, "")
    elif claim.conversation.thread_id is None:
        yield SetThread(lease, ThreadId(f"thread_of_{turn.id}"), "offline")
    if not turn.state.is_resolved:
        yield SetRun(lease, turn, RunId(f"run_of_{turn.id}"))
        yield RecordOutcome(lease, turn, **({"reply": f"You said: {turn.message.text}"} | dict(outcome)))


class _StoreInbox:
    """The part of the inbox that operators need, over a store; it processes no turns."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def accept(self, message: Message) -> AcceptResult:
        turn_id = TurnId(f"turn_{secrets.token_hex(12)}")
        if message.given_reply:
            recorded = self._store.enqueue_answered(message, turn_id)
        else:
            recorded = enqueue_one(self._store, message, turn_id, received_by="web")
        return AcceptResult(recorded.turn, recorded.is_new, claimed_here=False)

    def get_turn(self, turn_id: TurnId) -> Turn:
        found = self._store.get_turn(turn_id)
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        return found


@contextmanager
def open_harness(url: str) -> Iterator[AdminHarness]:
    store = SqlStore(url)
    inbox, about = cast("Inbox", _StoreInbox(store)), "an assistant in memory"
    scene = AdminHarness(
        AdminContext(
            *(settings(), inbox, store, dict, ("fake",), "offline"),
            assets=assets().base_path,
            schedules=store.schedules,
            callbacks=store.callbacks,
            handovers=store.handovers,
            turn_logs=store.turn_logs,
            run=asyncio.run,
            feedback=store.feedback,
            budget_store=store.ledger,
            budget_report=store.budget_report,
            rules=Rules.from_settings(AdmissionSettings()),
            about=about,
        )
    )
    scene.context = replace(scene.context, checks=scene.checks)
    yield scene
    store.close()


def disabled_client() -> FlaskClient:
    """Returns the client of a gateway without a password; its pages must use neither store nor inbox."""
    unused = cast("Any", None)
    context = AdminContext(
        *(settings(None), unused, unused, dict, (), ""),
        *(unused, unused, unused, unused, unused, unused, unused, unused, unused),
        assets=assets().base_path,
    )
    app = flask.Flask("gateway", static_folder=None)
    app.register_blueprint(blueprint(context))
    app.register_blueprint(assets().routes())
    return app.test_client()


# ---------------------------------------------------------------- an operator


def csrf_token_of(response: TestResponse) -> str:
    found = CSRF_TOKEN_FIELD.search(response.text)
    assert found, response.text
    return found[1]


def sign_in(client: FlaskClient, password: str = PASSWORD, **more: Any) -> TestResponse:
    form = client.get("/admin/sign-in", **more)
    return client.post("/admin/sign-in", data={"token": csrf_token_of(form), "password": password}, **more)


def submit_form(client: FlaskClient, page: str, path: str, **fields: Any) -> TestResponse:
    """Submits one of the forms of a page, with the page's CSRF token."""
    return client.post(path, data={"token": csrf_token_of(client.get(page)), **fields})


def text_of(response: TestResponse) -> str:
    """Returns the text of a page without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", response.text)).split())
