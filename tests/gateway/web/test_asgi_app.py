"""The web application around the adapters: errors, health, documentation and default headers, native and in Flask."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from html.parser import HTMLParser
from http.client import HTTPConnection
from typing import Any, cast

import flask
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from werkzeug.exceptions import BadGateway, ImATeapot

from gateway.domain import errors
from gateway.domain.errors import AssistantError, GatewayError, MalformedRequest, Overloaded, StoreUnavailable
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import Request, Webhook, WebhookResponse
from gateway.web.api import problems
from gateway.web.api.call_limit import REFUSALS_PER_MINUTE
from gateway.web.api.cors import Cors
from gateway.web.api.routes import Api, HttpRequest, HttpResponse, Route
from gateway.web.asgi_app import create_app
from gateway.web.pages import MAX_BODY_BYTES
from tests.adapters.app_client import LOOP_THREAD, AppClient, served
from tests.adapters.chat import Chat, error, in_thread
from tests.fakes.platform import FakePlatform
from tests.waiting import until

NO_INBOX = cast("AsyncInbox", None)
"""For routes that do not use the inbox."""
ALL_OK = (CheckResult("database", ok=True), CheckResult("backend", ok=True))


async def all_ok() -> Sequence[CheckResult]:
    return ALL_OK


class RoutedPlatform(FakePlatform):
    """A platform with a route in Flask and a webhook, which both call the given view."""

    def __init__(self, ring: Callable[[], Any]) -> None:
        super().__init__()
        self.view = ring

    def routes(self) -> flask.Blueprint:
        blueprint = flask.Blueprint("doorbell", __name__)
        blueprint.add_url_rule("/ring", "ring", self.view, methods=["GET", "POST"])
        return blueprint

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        async def handle(_: Request) -> WebhookResponse:
            return WebhookResponse(body=str(self.view()))

        return (Webhook("/hook", 10, handle),)


class Hooked(FakePlatform):
    """A platform with webhooks."""

    def __init__(self, handle: Callable[[Request], Awaitable[WebhookResponse]]) -> None:
        super().__init__()
        self.handle = handle

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        return (Webhook("/hook", 10, self.handle), Webhook("/other", 20, self.handle))


def hooked(handle: Callable[[Request], Awaitable[WebhookResponse]]) -> AppClient:
    return AppClient(create_app([Hooked(handle)], NO_INBOX, all_ok))


def client(
    ring: Callable[[], Any] = lambda: "", ready: Callable[[], Awaitable[Sequence[CheckResult]]] = all_ok
) -> AppClient:
    return AppClient(create_app([RoutedPlatform(ring), FakePlatform()], NO_INBOX, ready))


def raising(exc: Exception) -> Callable[..., Any]:
    def ring(*_: object) -> Any:
        raise exc

    return ring


# ---------------------------------------------------------------- webhooks


def test_a_webhook_gets_body_and_headers_and_its_answer_goes_back_as_it_is() -> None:
    seen: list[Request] = []

    async def handle(request: Request) -> WebhookResponse:
        seen.append(request)
        return WebhookResponse(202, "{}", {"Content-Type": "application/json"})

    web = hooked(handle)
    for path in ("/hook", "/other"):
        response = web.post(path, data=b"hello", headers={"X-Some-Header": "Value"})
        assert (response.status_code, response.data, response.content_type) == (202, b"{}", "application/json")
        assert web.get(path).status_code == 405
    assert [request.body for request in seen] == [b"hello", b"hello"]
    assert seen[0].headers["x-some-header"] == "Value"


def test_a_body_that_is_too_large_for_a_webhook_is_refused_however_it_is_sent() -> None:
    seen: list[bytes] = []

    async def handle(request: Request) -> WebhookResponse:
        seen.append(request.body)
        return WebhookResponse()

    web = hooked(handle)
    assert error(web.post("/hook", data=b"x" * 11)) == (413, "payload_too_large")
    for size in (10, 11, 1000):
        chunked = web.post("/hook", data=[b"x" * 5, b"x" * (size - 5)])
        assert chunked.status_code == (200 if size == 10 else 413)
    assert seen == [b"x" * 10]


@pytest.mark.parametrize(
    ("encoding", "status"), [("gzip", 415), (" GZIP", 415), ("br, gzip", 415), ("identity", 200), ("", 200)]
)
def test_a_body_that_is_compressed_is_refused_as_such(encoding: str, status: int) -> None:
    seen: list[bytes] = []

    async def handle(request: Request) -> WebhookResponse:
        seen.append(request.body)
        return WebhookResponse()

    response = hooked(handle).post("/hook", data=b"x", headers={"Content-Encoding": encoding})
    assert response.status_code == status
    assert len(seen) == (status == 200)
    if status == 415:
        assert error(response) == (415, "unsupported_media_type")
        assert "Content-Encoding" in response.text


@pytest.mark.parametrize(
    ("fault", "status", "after"), [(StoreUnavailable("pw"), 503, "5"), (Overloaded(retry_after=7), 503, "7")]
)
def test_an_error_of_a_webhook_is_answered_as_any_other(fault: GatewayError, status: int, after: str) -> None:
    response = hooked(raising(fault)).post("/hook")
    assert (response.status_code, response.headers["Retry-After"]) == (status, after)
    assert "pw" not in response.text


def test_wrong_signatures_are_limited_for_each_network_and_right_ones_are_not() -> None:
    async def handle(request: Request) -> WebhookResponse:
        if request.body != b"signed":
            raise errors.Unauthenticated
        return WebhookResponse()

    web = AppClient(create_app([Hooked(handle)], NO_INBOX, all_ok, trusted_proxies=1))
    forged = [web.post("/hook", data=b"forged") for _ in range(REFUSALS_PER_MINUTE + 2)]
    assert [answer.status_code for answer in forged] == [401] * REFUSALS_PER_MINUTE + [429] * 2
    assert error(web.post("/other", data=b"forged")) == (429, "rate_limited")
    assert web.post("/hook", data=b"signed").status_code == 200
    assert web.post("/hook", data=b"forged", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401


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
        (errors.AssistantMisconfigured("org-1"), 502, "misconfigured"),
        (errors.LeaseLost("pw"), 500, "internal"),
        (errors.SettingsError("pw"), 500, "internal"),
        (RuntimeError("pw"), 500, "internal"),
        (ImATeapot(), 418, "i_m_a_teapot"),
        (BadGateway("pw"), 500, "internal"),
    ],
)
def test_every_error_has_a_status_a_code_and_no_secret(exc: Exception, status: int, code: str) -> None:
    is_of_flask = isinstance(exc, ImATeapot | BadGateway)
    for path in ("/ring",) if is_of_flask else ("/ring", "/hook"):
        response = client(raising(exc)).post(path)
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


@pytest.mark.parametrize("path", ["/ring", "/hook"])
def test_a_fault_of_ours_is_told_in_full_to_the_log_alone(path: str) -> None:
    with capture_logs() as logs:
        response = client(raising(LookupError("which row"))).post(path)
    assert response.status_code == 500
    assert "which row" not in response.text
    (entry,) = logs
    assert (entry["log_level"], entry["path"], str(entry["exc_info"])) == ("error", path, "which row")


def test_no_environment_and_no_request_turns_debugging_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    monkeypatch.setenv("FLASK_ENV", "development")
    bell = client(raising(LookupError("which row")))
    assert not bell.application.pages.debug
    for path in ("/ring", "/ring?__debugger__=yes&cmd=resource&f=debugger.js", "/console"):
        response = bell.get(path, headers={"X-Debug": "1"})
        assert response.status_code in {404, 500}
        assert "which row" not in response.text


def test_the_pages_are_made_once_and_in_a_thread_when_the_first_is_asked_for() -> None:
    made_in: list[str] = []

    def pages() -> Sequence[flask.Blueprint]:
        made_in.append(threading.current_thread().name)
        return ()

    web = AppClient(create_app([], NO_INBOX, all_ok, pages))
    assert web.get("/healthz").status_code == 200
    assert made_in == []
    with ThreadPoolExecutor(4) as visitors:
        assert {each.status_code for each in visitors.map(web.get, ["/openapi.json"] * 4)} == {200}
    (name,) = made_in
    assert name != LOOP_THREAD


def test_the_routes_of_an_api_are_loaded_once_and_in_a_thread_when_the_first_is_asked_for() -> None:
    loaded_in: list[str] = []

    async def answer(_: HttpRequest) -> HttpResponse:
        return HttpResponse(status=204)

    def load() -> Sequence[Route]:
        loaded_in.append(threading.current_thread().name)
        return (Route("GET", "/late/things", answer),)

    api = Api("/late", (), Cors((), (), (), ()), ["/later"], load=load)
    web = AppClient(create_app([], NO_INBOX, all_ok, apis=[api]))
    assert web.get("/healthz").status_code == 200
    assert loaded_in == []
    with ThreadPoolExecutor(4) as callers:
        assert {each.status_code for each in callers.map(web.get, ["/late/things", "/later/things"] * 2)} == {204}
    assert web.get("/late/others").status_code == 404
    (name,) = loaded_in
    assert name != LOOP_THREAD


def test_the_log_has_the_name_that_the_answer_gives_a_request() -> None:
    async def fail(_: HttpRequest) -> HttpResponse:
        raise RuntimeError

    api = Api("/named", [Route("GET", "/named/things", fail)], Cors((), (), (), ()), name_request=iter("abc").__next__)
    web = AppClient(create_app([], NO_INBOX, all_ok, apis=[api]))
    with capture_logs([merge_contextvars]) as logs:
        answers = [web.get(path) for path in ("/named/things", "/named/nothing", "/healthz")]
    assert [each.headers.get("X-Request-Id") for each in answers] == ["a", "b", None]
    assert [each["request"] for each in logs] == ["a"]


def test_pages_that_cannot_be_made_are_tried_again() -> None:
    attempts: list[int] = []

    def pages() -> Sequence[flask.Blueprint]:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("too many open files")
        return ()

    web = AppClient(create_app([], NO_INBOX, all_ok, pages))
    assert [web.get("/openapi.json").status_code for _ in range(2)] == [500, 200]


def test_a_body_beyond_every_limit_is_refused() -> None:
    bell = client(lambda: str(len(flask.request.get_data())))
    for size, status in ((MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)):
        for body in (b"x" * size, [b"x" * (size - 1), b"x"]):
            assert bell.post("/ring", data=body).status_code == status
    assert error(bell.post("/ring", data=b"x" * size)) == (413, "payload_too_large")


def test_a_caller_who_goes_away_within_a_body_is_not_answered_and_no_view_is_called() -> None:
    for path in ("/ring", "/hook"):
        bell = client(raising(AssertionError("not called")))
        with capture_logs() as logs:
            assert bell.go_away(path, b"half a bo") == []
        assert logs == []


def test_a_path_with_a_second_slash_is_none() -> None:
    for path in ("//ring", "//healthz", "//", "/healthz/", "//chat", "//admin", "///admin"):
        assert error(client(raising(AssertionError("not called"))).get(path)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/healthz", "/ring"])
def test_an_address_with_a_slash_too_many_names_the_one_that_is_meant(path: str) -> None:
    response = client(raising(AssertionError("not called"))).get(f"{path}/")
    assert error(response) == (404, "not_found")
    assert f"There is nothing at this address. Leave out the slash at its end: {path}." in response.text
    assert "slash" not in client(raising(AssertionError("not called"))).get("/nothing/").text


@pytest.mark.parametrize("prefix", ["/admin", "/ring", "nonsense", "//", "\xff", "%zz"])
def test_a_header_is_no_path_prefix(prefix: str) -> None:
    bell = client(lambda: f"{flask.request.script_root} {flask.request.path}")
    listener = socket.create_server(("127.0.0.1", 0))
    with served(bell.application, listener), closing(HTTPConnection(*listener.getsockname())) as connection:
        connection.request("GET", "/ring", headers={"SCRIPT_NAME": prefix, "Script-Name": prefix})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b" /ring")


def test_a_header_with_an_underscore_passes_for_none_with_a_hyphen() -> None:
    bell = client(lambda: flask.request.headers.get("X-Forwarded-Email", "nobody"))
    listener = socket.create_server(("127.0.0.1", 0))
    with served(bell.application, listener), closing(HTTPConnection(*listener.getsockname())) as connection:
        for headers, seen in (
            ({"X_Forwarded_Email": "eve@example.com"}, b"nobody"),
            ({"X-Forwarded_Email": "eve@example.com", "X-Forwarded-Email": "ann@example.com"}, b"ann@example.com"),
        ):
            connection.request("GET", "/ring", headers=headers)
            assert connection.getresponse().read() == seen


def test_head_and_options_are_answered_for_native_routes_as_flask_does() -> None:
    bell = client()
    for path, methods in (("/healthz", {"GET", "HEAD", "OPTIONS"}), ("/ring", {"GET", "HEAD", "OPTIONS", "POST"})):
        assert bell.open(path, method="HEAD").status_code == 200
        assert set(bell.open(path, method="OPTIONS").headers["Allow"].split(", ")) == methods
        response = bell.open(path, method="BREW")
        assert error(response) == (405, "method_not_allowed")
        assert set(response.headers["Allow"].split(", ")) == methods


@pytest.mark.parametrize("path", ["/ring", "/healthz", "/docs", "/openapi.json", "/nowhere", "/hook"])
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

    async def backend_failed() -> Sequence[CheckResult]:
        return (ALL_OK[0], CheckResult("backend", ok=False, detail="401 for sk-1"))

    response = client(ready=backend_failed).get("/readyz")
    assert response.status_code == 503
    assert response.json == {"status": "unavailable", "checks": {"database": "ok", "backend": "failed"}}


class HeldReadiness:
    """Readiness checks that end when the test lets them."""

    def __init__(self) -> None:
        self.begun = 0
        self._may_end = asyncio.Event()

    async def __call__(self) -> Sequence[CheckResult]:
        self.begun += 1
        await self._may_end.wait()
        return ALL_OK

    def let_end(self, bell: AppClient, *, end: bool = True) -> None:
        bell.call_soon(self._may_end.set if end else self._may_end.clear)


def test_readiness_is_asked_once_however_many_ask_for_it() -> None:
    ready, statuses = HeldReadiness(), list[int]()
    bell = client(ready=ready)
    callers = [in_thread(lambda: statuses.append(bell.get("/readyz").status_code)) for _ in "abcd"]
    until(lambda: ready.begun)
    ready.let_end(bell)
    for caller in callers:
        caller.join(20)
    assert (statuses, ready.begun) == ([200] * 4, 1)


def test_while_readiness_is_asked_again_the_others_hear_what_was_known() -> None:
    ready = HeldReadiness()
    bell = AppClient(create_app([], NO_INBOX, ready, readiness_cache_seconds=0.0))
    ready.let_end(bell)
    assert bell.get("/readyz").status_code == 200
    ready.let_end(bell, end=False)
    asking = in_thread(lambda: bell.get("/readyz"))
    until(lambda: ready.begun == 2)
    assert bell.get("/readyz").status_code == 200
    assert asking.is_alive()
    ready.let_end(bell)
    asking.join(20)
    assert ready.begun == 2


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
        for rule in chat.app.pages.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("documentation.")
    }
    routes |= {(re.sub(r"<(\w+)>", r"{\1}", path), method.lower()) for method, path in chat.app.native_routes}
    assert routes == {(path, method) for path, methods in document["paths"].items() for method in methods}


@pytest.mark.parametrize(
    ("key", "valid"),
    [("k", True), ("two words", True), ("~" * 255, True), ("", False), (" ", False), ("~" * 256, False), ("é", False)],
)
def test_the_document_says_which_idempotency_keys_are_valid(
    chat: Chat,
    document: dict[str, Any],
    key: str,
    valid: bool,  # noqa: FBT001
) -> None:
    headers = document["paths"]["/chat"]["post"]["parameters"]
    (schema,) = [header["schema"] for header in headers if header["name"] == "Idempotency-Key"]
    assert OAS31Validator(schema).is_valid(key) is valid
    answered = chat.post({"message": "hi"}, Idempotency_Key=key.strip())  # as servers read it
    assert (answered.status_code == 200) is valid


@pytest.mark.parametrize(
    "text", ["hi", " hi\n", "a\0b", " \n\t", "\u2800\u3164", "\U000e0041", "\U0010cd54", "\u0378", "\x7f"]
)
def test_the_document_says_which_texts_are_valid(chat: Chat, document: dict[str, Any], text: str) -> None:
    fields = document["components"]["schemas"]["ChatRequest"]["properties"]
    valid = chat.post({"message": text}).status_code == 200
    assert OAS31Validator(fields["message"]).is_valid(text) is valid
    stored = chat.post({"message": "hi", "user": text}).status_code == 200
    assert OAS31Validator(fields["user"]).is_valid(text) is stored


def test_the_document_knows_the_limits_that_are_enforced(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["ChatRequest"]
    assert request["additionalProperties"] is False
    assert request["required"] == ["message"]
    assert request["properties"]["message"]["maxLength"] == 1000
    assert document["paths"]["/chat"]["post"]["security"] == [{"key": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []
    described = document["paths"]["/chat/threads/{thread_id}"]["get"]["parameters"]
    assert [(each["name"], each["in"]) for each in described] == [("thread_id", "path"), ("before", "query")]


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
        self.inline: list[str] = []
        """Scripts and styles that are not files of their own."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors.add(f"#{found.get('id')}")
        if tag == "a" and "href" in found:
            self.targets.append(found["href"])
        self.inline += [tag for name in found if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in found):
            self.inline.append(tag)
        elif tag in {"link", "script", "img", "iframe"}:
            self.loads.append(found.get("href") or found["src"])


def test_the_page_shows_every_route_and_loads_nothing_from_elsewhere(chat: Chat, document: dict[str, Any]) -> None:
    response = chat.call("GET", "/docs")
    assert response.content_type == "text/html; charset=utf-8"
    page = LinkCollector()
    page.feed(response.text)
    assert all(load.startswith("/docs/files/") for load in page.loads)
    for load in page.loads:
        with chat.call("GET", load) as file:
            assert file.status_code == 200
    assert {lead for lead in page.targets if not lead.startswith("#")} == {"/openapi.json"}
    assert {lead for lead in page.targets if lead.startswith("#")} <= page.anchors
    for path in document["paths"]:
        assert f'data-path="{path}"' in response.text
    assert page.inline == []
    assert "script-src 'self';" in response.headers["Content-Security-Policy"]
    assert error(chat.call("GET", "/docs/files/docs/page.html")) == (404, "not_found")


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


@pytest.mark.parametrize(
    ("sent", "is_refused"),
    [
        ({"Origin": "https://b.example", "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "null", "Sec_Fetch_Site": "same-site"}, True),
        ({"Origin": "http://b.example"}, True),
        ({"Origin": "http://b.example", "X_Forwarded_For": "10.1.2.3"}, False),  # the proxy may have changed Host
        ({"Origin": "https://b.example", "Sec_Fetch_Site": "same-origin"}, False),
        ({"Origin": "http://bot.example", "Host": "bot.example"}, False),
        ({"Origin": "https://a.example", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": "https://b.example", "Sec_Fetch_Site": "cross-site", "Content_Type": "application/json"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_what_a_page_sends_that_may_not_call_is_refused(sent: dict[str, str], *, is_refused: bool) -> None:
    chat = Chat(cors_origins="https://a.example")
    response = chat.post({"message": "hi"}, **{"Content_Type": "text/plain", **sent})
    assert (response.status_code == 403) is is_refused
    assert not is_refused or error(response) == (403, "cross_origin")
    assert chat.call("GET", "/chat/assistants", **sent).status_code == 200
    chat.close()


def test_answers_that_differ_by_origin_say_so(chat: Chat) -> None:
    listed = Chat(cors_origins="https://a.example, http://localhost:3000")
    for origin in ({}, {"Origin": "https://a.example"}, {"Origin": "https://b.example"}):
        assert listed.call("GET", "/chat", **origin).headers["Vary"] == "Origin"
        assert "Vary" not in chat.call("GET", "/chat", **origin).headers
    listed.close()


def test_who_is_no_browser_is_told_nothing_of_origins(chat: Chat) -> None:
    assert "Access-Control-Allow-Origin" not in chat.post({"message": "hi"}).headers


def test_health_is_for_no_other_origin(chat: Chat) -> None:
    assert "Access-Control-Allow-Origin" not in chat.call("GET", "/healthz", Origin="https://a.example").headers
