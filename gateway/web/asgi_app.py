"""The ASGI application: native routes on the event loop, and everything else in Flask: see ``pages``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway import logs
from gateway.domain.errors import Unauthenticated
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.inbox import AsyncInbox
from gateway.ports.platform import Adapter, HasRoutes, HasWebhooks, Request, Webhook
from gateway.web import health
from gateway.web.api import problems
from gateway.web.api.call_limit import RefusalLimit
from gateway.web.api.openapi import PATH_PLACEHOLDER, HasOperations, Operation
from gateway.web.api.routes import (
    DEFAULT_HEADERS,
    Api,
    ClientDisconnected,
    Handler,
    HasApi,
    HttpRequest,
    HttpResponse,
    Receive,
    Route,
    Scope,
    Send,
    headers_of,
    json_response,
    read_body,
)
from gateway.web.pages import MAX_BODY_BYTES, Pages

if TYPE_CHECKING:
    import flask


def create_app(  # noqa: PLR0913  # all that one process serves
    adapters: Iterable[Adapter],
    inbox: AsyncInbox,
    readiness: health.CheckReadiness,
    pages: Callable[[], Iterable[flask.Blueprint]] = tuple,
    operations: Sequence[Operation] = (),
    *,
    apis: Sequence[Api] = (),
    routes: Sequence[Route] = (),
    trusted_proxies: int = 0,
    readiness_cache_seconds: float = health.READINESS_CACHE_SECONDS,
    languages: Languages = ENGLISH_ONLY,
) -> WebApp:
    """Builds the web application of a process.

    ``pages``: returns routes in Flask beside those of the adapters; called when the first page is asked for, in any
    thread. ``operations``: the documentation of those that are for
    programs, and of ``apis``: native routes beside those of the adapters. ``routes``: native routes of pages.
    ``trusted_proxies``: see ``client_ip``.
    ``languages``: those in which people are told what went wrong.
    """
    adapters = tuple(adapters)
    described = [each for adapter in adapters if isinstance(adapter, HasOperations) for each in adapter.operations()]
    webhooks = [each for adapter in adapters if isinstance(adapter, HasWebhooks) for each in adapter.webhooks(inbox)]
    documented = (*described, *operations, *health.OPERATIONS)

    def build_pages() -> flask.Flask:
        from gateway.web import flask_app  # noqa: PLC0415  # see Pages

        of_adapters = (adapter.routes() for adapter in adapters if isinstance(adapter, HasRoutes))
        return flask_app.create_app((*of_adapters, *pages()), documented)

    return WebApp(
        [*map(_webhook_route, webhooks), *routes, *health.routes(readiness, readiness_cache_seconds)],
        [*(adapter.api(inbox) for adapter in adapters if isinstance(adapter, HasApi)), *apis],
        Pages(build_pages),
        RefusalLimit(trusted_proxies),
        languages,
    )


def _webhook_route(webhook: Webhook) -> Route:
    async def handle(request: HttpRequest) -> HttpResponse:
        body = await request.read_body(webhook.max_body_bytes)
        response = await webhook.handle(Request(request.headers, body))
        return HttpResponse(response.body.encode(), response.status, response.headers)

    return Route("POST", webhook.path, handle)


@dataclass(slots=True)
class _Resource:
    """What there is at one path."""

    pattern: re.Pattern[str]
    handlers: dict[str, Handler] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        return ", ".join(sorted({*self.handlers, "OPTIONS", *(["HEAD"] if "GET" in self.handlers else [])}))

    def find(self, method: str) -> Handler | None:
        return self.handlers.get("GET" if method == "HEAD" else method)


class WebApp:
    """An ASGI 3 application. Used on one event loop."""

    def __init__(
        self,
        routes: Sequence[Route],
        apis: Sequence[Api],
        pages: Pages,
        refusals: RefusalLimit,
        languages: Languages,
    ) -> None:
        self._pages = pages
        self._languages = languages
        self._refusals = refusals
        self._beginnings = [(f"{prefix}/", api) for api in apis for prefix in (api.prefix, *api.also_at)]
        self._fixed: dict[str, _Resource] = {}
        self._with_values: dict[int, dict[str, _Resource]] = {}
        """Those whose path has placeholders, by its number of slashes."""
        self._late = {api.prefix: api.load for api in apis if api.load is not None}
        """What loads the routes of APIs of which nothing was asked yet."""
        self._loading = asyncio.Lock()
        self._add((*routes, *(each for api in apis for each in api.routes)))

    def _add(self, routes: Iterable[Route]) -> None:
        for route in routes:
            has_values = PATH_PLACEHOLDER.search(route.path) is not None
            known = self._with_values.setdefault(route.path.count("/"), {}) if has_values else self._fixed
            pattern = re.compile(PATH_PLACEHOLDER.sub(r"(?P<\1>[^/]+)", route.path))
            known.setdefault(route.path, _Resource(pattern)).handlers[route.method] = route.handle

    async def _load(self, api: Api) -> None:
        async with self._loading:
            if (load := self._late.get(api.prefix)) is not None:
                self._add(await asyncio.to_thread(load))
                del self._late[api.prefix]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, api = self._api_of(scope["path"])
        if api is not None and api.prefix in self._late:
            await self._load(api)
        resource, values = self._find(path)
        # Werkzeug would serve "//x" as "/x", past a proxy's rule for "/x".
        if resource is None and api is None and not path.startswith("//") and not self._without_slash(path):
            await self._serve_page(scope, receive, send)
            return
        request = HttpRequest(scope, receive, values)
        problems.reader_language.set(self._languages.accepted(request.headers.get("accept-language", "")))
        name = "" if api is None else api.name_request()
        if name:
            logs.bind_request(name)
        try:
            response = await self._respond(request, path, resource, api)
        except ClientDisconnected:
            return
        added = {} if api is None else api.cors.response_headers(request.method, request.headers)
        await _send(response, added, send, name)

    @property
    def pages(self) -> flask.Flask:
        """The Flask app, which is built first if it is not there yet."""
        return self._pages.app

    @property
    def native_routes(self) -> Sequence[tuple[str, str]]:
        """Method and path of each native route that is loaded."""
        known = (self._fixed, *self._with_values.values())
        return [(method, path) for each in known for path, resource in each.items() for method in resource.handlers]

    def _find(self, path: str) -> tuple[_Resource | None, Mapping[str, str]]:
        found = self._fixed.get(path)
        if found is not None:
            return found, {}
        for resource in self._with_values.get(path.count("/"), {}).values():  # a value has none
            match = resource.pattern.fullmatch(path)
            if match is not None:
                return resource, match.groupdict()
        return None, {}

    def _api_of(self, path: str) -> tuple[str, Api | None]:
        """Returns the API that a path is below, with the path as its routes have it."""
        below = f"{path}/"  # of "/v1" too there is a "/v1/"
        for beginning, api in self._beginnings:
            if below.startswith(beginning):
                return api.prefix + path[len(beginning) - 1 :], api
        return path, None

    async def _respond(
        self, request: HttpRequest, path: str, resource: _Resource | None, api: Api | None
    ) -> HttpResponse:
        """Raises ClientDisconnected."""
        handle = resource.find(request.method) if resource is not None else None
        if resource is not None and handle is None and request.method == "OPTIONS":
            return HttpResponse(headers={"Allow": resource.allowed})
        try:
            if api is not None:
                api.cors.check(request.method, request.headers)
            if handle is not None:
                return await handle(request)
            problem = self._nothing_there(request.method, path, resource)
        except ClientDisconnected:
            raise
        except Unauthenticated as exc:
            counted = self._refusals.count(exc, request.peer, request.headers.get("x-forwarded-for", ""))
            problem = problems.from_error(counted)
        except Exception as exc:  # noqa: BLE001  # the last resort, which logs it
            problem = problems.from_exception(exc, method=request.method, path=path)
            return json_response(*(problem if api is None else api.error_form(problem, exc)))
        return json_response(*(problem if api is None else api.error_form(problem, None)))

    def _nothing_there(self, method: str, path: str, resource: _Resource | None) -> problems.JsonResponse:
        if resource is not None:
            return problems.method_not_allowed(method, resource.allowed)
        return problems.not_found(self._without_slash(path))

    def _without_slash(self, path: str) -> str:
        """Returns the native route that is meant by a path with a slash too many at its end; "" if there is none."""
        shorter = path.removesuffix("/")
        return shorter if shorter != path and self._find(shorter)[0] is not None else ""

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, headers_of(scope), MAX_BODY_BYTES)
            await self._pages.load()
        except ClientDisconnected:
            return
        except Exception as exc:  # noqa: BLE001  # the last resort, which logs it
            response = json_response(*problems.from_exception(exc, method=scope["method"], path=scope["path"]))
            await _send(response, {}, send)
            return
        await self._pages.serve(scope, body, receive, send)


async def _send(response: HttpResponse, added_headers: Mapping[str, str], send: Send, name: str = "") -> None:
    """``name``: that of the request, if it has one."""
    try:
        raw = {**RAW_DEFAULT_HEADERS, **_raw({**response.headers, **added_headers})}
        if name:
            raw[b"x-request-id"] = name.encode()
        if response.stream is None and response.status != 204:  # noqa: PLR2004  # a length is not allowed with 204
            raw[b"content-length"] = b"%d" % len(response.body)
        await send({"type": "http.response.start", "status": response.status, "headers": [*raw.items()]})
        if response.stream is not None:
            async for part in response.stream:
                content = part if isinstance(part, bytes) else part.encode()
                await send({"type": "http.response.body", "body": content, "more_body": True})
        await send({"type": "http.response.body", "body": response.body})
    finally:
        response.on_close()


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Returns headers as ASGI has them."""
    return dict(map(_raw_header, headers.keys(), headers.values()))


@lru_cache(maxsize=256)  # most responses have the same ones
def _raw_header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


RAW_DEFAULT_HEADERS = _raw(DEFAULT_HEADERS)
