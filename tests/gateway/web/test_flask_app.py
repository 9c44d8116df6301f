"""The Flask app around the adapters: errors, health, documentation and default headers."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from typing import Any, cast

import flask
import pytest
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from structlog.testing import capture_logs
from werkzeug.exceptions import BadGateway, ClientDisconnected, ImATeapot

from gateway.domain import errors
from gateway.domain.errors import AssistantError, GatewayError, MalformedRequest, Overloaded, StoreUnavailable
from gateway.ports.check import CheckResult
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Request, Webhook, WebhookResponse
from gateway.web.api import problems
from gateway.web.flask_app import create_app
from tests.adapters.chat import Chat, error, in_thread, until
from tests.fakes.platform import FakePlatform

NO_INBOX = cast("Inbox", None)
"""For routes that do not use the inbox."""
ALL_OK = (CheckResult("database", ok=True), CheckResult("backend", ok=True))


class RoutedPlatform(FakePlatform):
    """A platform with a route that calls the given view."""

    def __init__(self, ring: Callable[[], Any]) -> None:
        super().__init__()
        self.view = ring

    def routes(self, inbox: Inbox) -> flask.Blueprint:
        blueprint = flask.Blueprint("doorbell", __name__)
        blueprint.add_url_rule("/ring", "ring", self.view, methods=["GET", "POST"])
        return blueprint


class Hooked(FakePlatform):
    """A platform with a webhook."""

    def __init__(self, handle: Callable[[Request], WebhookResponse]) -> None:
        super().__init__()
        self.handle = handle

    def webhooks(self, inbox: Inbox) -> Sequence[Webhook]:
        return (Webhook("/hook", 10, self.handle), Webhook("/other", 20, self.handle))


def client(
    ring: Callable[[], Any] = lambda: "", ready: Callable[[], Sequence[CheckResult]] = lambda: ALL_OK
) -> FlaskClient:
    return create_app([RoutedPlatform(ring), FakePlatform()], NO_INBOX, ready).test_client()


def raising(exc: Exception) -> Callable[..., Any]:
    def ring(*_: object) -> Any:
        raise exc

    return ring


# ---------------------------------------------------------------- webhooks


CHUNKED = {"wsgi.input_terminated": True}


def test_a_webhook_gets_body_and_headers_and_its_answer_goes_back_as_it_is() -> None:
    seen: list[Request] = []

    def handle(request: Request) -> WebhookResponse:
        seen.append(request)
        return WebhookResponse(202, "{}", {"Content-Type": "application/json"})

    web = create_app([Hooked(handle)], NO_INBOX, lambda: ALL_OK).test_client()
    for path in ("/hook", "/other"):
        response = web.post(path, data=b"hello", headers={"X-Some-Header": "Value"})
        assert (response.status_code, response.data, response.content_type) == (202, b"{}", "application/json")
        assert web.get(path).status_code == 405
    assert [request.body for request in seen] == [b"hello", b"hello"]
    assert seen[0].headers["x-some-header"] == "Value"


def test_a_body_that_is_too_large_for_a_webhook_is_refused_however_it_is_sent() -> None:
    seen: list[bytes] = []

    def handle(request: Request) -> WebhookResponse:
        seen.append(request.body)
        return WebhookResponse()

    web = create_app([Hooked(handle)], NO_INBOX, lambda: ALL_OK).test_client()
    assert error(web.post("/hook", data=b"x" * 11)) == (413, "payload_too_large")
    for size in (10, 11, 1000):
        chunked = web.post("/hook", input_stream=io.BytesIO(b"x" * size), environ_overrides=CHUNKED)
        assert chunked.status_code == (200 if size == 10 else 413)
    assert seen == [b"x" * 10]


@pytest.mark.parametrize(
    ("fault", "status", "after"), [(StoreUnavailable("pw"), 503, "5"), (Overloaded(retry_after=7), 503, "7")]
)
def test_an_error_of_a_webhook_is_answered_as_any_other(fault: GatewayError, status: int, after: str) -> None:
    web = create_app([Hooked(raising(fault))], NO_INBOX, lambda: ALL_OK).test_client()
    response = web.post("/hook")
    assert (response.status_code, response.headers["Retry-After"]) == (status, after)
    assert "pw" not in response.text


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (errors.Unauthenticated(), 401, "unauthorized"),
        (errors.MalformedRequest(), 400, "unreadable"),
        (MalformedRequest(code="payload_too_large"), 413, "payload_too_large"),
        (MalformedRequest(code="unsupported_media_type"), 415, "unsupported_media_type"),
        (errors.ThreadNotFound(), 404, "thread_not_found"),
        (errors.TurnNotFound(), 404, "turn_not_found"),
        (errors.Conflict(code="taken"), 409, "taken"),
        (errors.Overloaded(), 503, "overloaded"),
        (Overloaded(code="rate_limited"), 429, "rate_limited"),
        (errors.StoreUnavailable("psql://u:pw@h"), 503, "store_unavailable"),
        (errors.AssistantRateLimited("org-1"), 429, "rate_limited"),
        (errors.AssistantTimedOut("org-1"), 504, "timed_out"),
        (errors.AssistantMisconfigured("org-1"), 502, "assistant_failed"),
        (errors.LeaseLost("pw"), 500, "internal"),
        (errors.SettingsError("pw"), 500, "internal"),
        (RuntimeError("pw"), 500, "internal"),
        (ImATeapot(), 418, "i_m_a_teapot"),
        (BadGateway("pw"), 500, "internal"),
        (ClientDisconnected(), 408, "request_timeout"),
    ],
)
def test_every_error_has_a_status_a_code_and_no_secret(exc: Exception, status: int, code: str) -> None:
    response = client(raising(exc)).get("/ring")
    assert error(response) == (status, code)
    assert not re.search("pw|org-1|Traceback|Error", response.text)
    assert ("Retry-After" in response.headers) is (status in {429, 503})


def test_every_kind_of_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]
    assert len(kinds) > 10
    for kind in kinds:
        status = problems.from_error(kind())[1]
        assert status >= 400
        assert (status == 500) is not issubclass(
            kind, errors.InputError | errors.Overloaded | errors.StoreUnavailable | AssistantError
        )


def test_a_fault_of_ours_is_told_in_full_to_the_log_alone() -> None:
    with capture_logs() as logs:
        response = client(raising(LookupError("which row"))).post("/ring")
    assert response.status_code == 500
    assert "which row" not in response.text
    (entry,) = logs
    assert (entry["log_level"], entry["path"], str(entry["exc_info"])) == ("error", "/ring", "which row")


def test_no_environment_and_no_request_turns_debugging_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    monkeypatch.setenv("FLASK_ENV", "development")
    bell = client(raising(LookupError("which row")))
    assert not bell.application.debug
    for path in ("/ring", "/ring?__debugger__=yes&cmd=resource&f=debugger.js", "/console"):
        response = bell.get(path, headers={"X-Debug": "1"})
        assert response.status_code in {404, 500}
        assert "which row" not in response.text


def test_a_body_beyond_every_limit_is_refused() -> None:
    bell = client(lambda: str(len(flask.request.get_data())))
    response = bell.post("/ring", data=b"x" * (4 * 1024 * 1024 + 1))
    assert error(response) == (413, "payload_too_large")


@pytest.mark.parametrize("path", ["/ring", "/healthz", "/docs", "/openapi.json", "/nowhere"])
def test_every_answer_carries_what_a_browser_must_know(path: str) -> None:
    headers = client().get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


# ---------------------------------------------------------------- health


def test_health_needs_nobody() -> None:
    response = client(ready=raising(AssertionError("not asked"))).get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_readiness_names_what_is_there_and_what_is_missing_but_not_why() -> None:
    response = client().get("/readyz")
    assert response.status_code == 200
    assert response.json == {"status": "ok", "checks": {"database": "ok", "backend": "ok"}}
    response = client(ready=lambda: (ALL_OK[0], CheckResult("backend", ok=False, detail="401 for sk-1"))).get("/readyz")
    assert response.status_code == 503
    assert response.json == {"status": "unavailable", "checks": {"database": "ok", "backend": "failed"}}


def test_readiness_is_asked_once_however_many_ask_for_it() -> None:
    asked: list[int] = []
    answering = threading.Event()

    def ready() -> Sequence[CheckResult]:
        asked.append(1)
        assert answering.wait(20)
        return ALL_OK

    bell = client(ready=ready)
    statuses: list[int] = []
    callers = [
        in_thread(lambda: statuses.append(bell.application.test_client().get("/readyz").status_code)) for _ in "abcd"
    ]
    until(lambda: asked)
    answering.set()
    for caller in callers:
        caller.join(20)
    assert (statuses, asked) == ([200] * 4, [1])


def test_while_readiness_is_asked_again_the_others_hear_what_was_known() -> None:
    asked: list[int] = []
    answering = threading.Event()
    answering.set()

    def ready() -> Sequence[CheckResult]:
        asked.append(1)
        assert answering.wait(20)
        return ALL_OK

    app = create_app([], NO_INBOX, ready, readiness_cache_seconds=0.0)
    assert app.test_client().get("/readyz").status_code == 200
    answering.clear()
    asking = in_thread(lambda: app.test_client().get("/readyz"))
    until(lambda: len(asked) == 2)
    assert app.test_client().get("/readyz").status_code == 200
    assert asking.is_alive()
    answering.set()
    asking.join(20)
    assert len(asked) == 2


# ---------------------------------------------------------------- documentation


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    chat = Chat(keys="key-one")
    yield chat
    chat.close()


@pytest.fixture(scope="module")
def document(chat: Chat) -> dict[str, Any]:
    made: dict[str, Any] = chat.call("GET", "/openapi.json").json
    return made


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_has_every_route_and_no_other(chat: Chat, document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in chat.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("documentation.")
    }
    assert routes == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_the_document_knows_the_limits_that_are_enforced(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["ChatRequest"]
    assert request["additionalProperties"] is False
    assert request["required"] == ["message"]
    assert request["properties"]["message"]["maxLength"] == 1000
    assert document["paths"]["/chat"]["post"]["security"] == [{"key": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []


def test_what_is_answered_is_what_the_document_says(chat: Chat, document: dict[str, Any]) -> None:
    reply = chat.say("hello")
    turn, thread = f"/chat/turns/{reply['turn_id']}", f"/chat/threads/{reply['thread_id']}"
    answers = {
        "TurnReply": reply,
        "TurnAccepted": chat.post({"message": "hi"}, Prefer="respond-async").json,
        "TurnView": chat.call("GET", turn).json,
        "ThreadView": chat.call("GET", thread).json,
        "Problems": chat.call("GET", "/chat/turns/none").json,
        "Health": chat.call("GET", "/healthz").json,
        "Readiness": chat.call("GET", "/readyz").json,
    }
    for name, answer in answers.items():
        schema = {**document["components"]["schemas"][name], "components": document["components"]}
        OAS31Validator(schema).validate(answer)
        assert set(answer) <= set(schema["properties"])


class LinkCollector(HTMLParser):
    """Collects what a page loads, its link targets and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors.add(f"#{found.get('id')}")
        if tag == "a":
            self.targets.append(found["href"])
        elif tag in {"link", "script", "img", "iframe"}:
            self.loads.append(found.get("href") or found["src"])


def test_the_page_shows_every_route_and_loads_nothing_from_elsewhere(chat: Chat, document: dict[str, Any]) -> None:
    response = chat.call("GET", "/docs")
    assert response.content_type == "text/html; charset=utf-8"
    page = LinkCollector()
    page.feed(response.text)
    assert page.loads == ["/docs.css"]
    with chat.call("GET", "/docs.css") as style:
        assert style.status_code == 200
    assert {lead for lead in page.targets if not lead.startswith("#")} == {"/openapi.json"}
    assert {lead for lead in page.targets if lead.startswith("#")} <= page.anchors
    for path in document["paths"]:
        assert path in response.text
    assert "<script" not in response.text
    assert "style=" not in response.text


# ---------------------------------------------------------------- other origins


def preflight(chat: Chat, origin: str, path: str = "/chat") -> Any:
    wanted = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization, prefer, x-no"}
    return chat.call("OPTIONS", path, Origin=origin, **wanted).headers


def test_every_page_may_call_when_nothing_else_is_said(chat: Chat) -> None:
    headers = preflight(chat, "https://any.example")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Headers"] == "authorization, prefer"
    assert "Access-Control-Allow-Credentials" not in headers
    for response in (
        chat.post({"message": "hi"}, Origin="https://any.example"),
        chat.post({}, Origin="https://any.example"),
        chat.post({"message": "hi"}, Origin="https://any.example", Authorization="Bearer no"),
        chat.call("GET", "/chat", Origin="https://any.example"),
        chat.call("GET", "/chat/nothing/here/at/all", Origin="https://any.example"),
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


def test_only_the_pages_that_are_listed_may_call() -> None:
    chat = Chat(cors_origins="https://a.example, http://localhost:3000")
    assert preflight(chat, "https://a.example")["Access-Control-Allow-Origin"] == "https://a.example"
    assert preflight(chat, "http://localhost:3000")["Access-Control-Allow-Origin"] == "http://localhost:3000"
    for stranger in (
        "https://b.example",
        "https://a.example.evil.example",
        "https://aXexample",
        "null",
        "http://a.example",
    ):
        assert "Access-Control-Allow-Origin" not in preflight(chat, stranger)
    chat.close()


def test_who_is_no_browser_is_told_nothing_of_origins(chat: Chat) -> None:
    assert "Access-Control-Allow-Origin" not in chat.post({"message": "hi"}).headers


def test_health_is_for_no_other_origin(chat: Chat) -> None:
    assert "Access-Control-Allow-Origin" not in chat.call("GET", "/healthz", Origin="https://a.example").headers
