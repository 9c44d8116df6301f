"""The running parts of one process: its web application, its checks, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from adapters.http import HttpSettings
from gateway import admin
from gateway.admin import AdminContext, AdminSettings, RunningBackend
from gateway.configuration import CurrentConfiguration
from gateway.coordination.threads import ThreadPool, in_thread
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import TurnId
from gateway.languages import Languages, LanguageSettings
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.prices import PriceSettings
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.check import CheckResult
from gateway.ports.platform import Adapter, BackgroundReceiver, Closeable, HasWaitingCallers
from gateway.push import PushSettings
from gateway.push import routes as push_routes
from gateway.push.messages import PushMessages
from gateway.settings import Load, Settings
from gateway.tools.servers import ToolServers
from gateway.web import asgi_app, metrics_endpoint
from gateway.web.api.api_keys import ApiKeys
from gateway.web.api.routes import Api
from gateway.web.asgi_app import WebApp
from gateway.web.chat_page_settings import ChatPageSettings
from gateway.web.metrics_endpoint import MetricsSettings
from gateway.worker.accepting.inbox import StoreInbox
from gateway.worker.accepting.thread_inbox import ThreadInbox
from gateway.worker.answering.assistants import Assistants, RunningAssistant
from gateway.worker.worker import Worker
from storage.store import SqlStore

if TYPE_CHECKING:
    import flask

CHECK_SECONDS = 10.0
DISK_FULL = "the disk of the database is full, or nearly"


@dataclass(frozen=True)
class Gateway:
    """The running parts of one gateway process."""

    settings: Settings
    load: Load
    """Where all other settings come from."""
    store: SqlStore
    configuration: CurrentConfiguration
    assistants: Assistants
    worker: Worker
    async_inbox: StoreInbox
    """For the worker's loop."""
    inbox: ThreadInbox
    """The same for any other thread."""
    adapters: Sequence[Adapter]
    threads: ThreadPool
    """Of the database."""
    metrics: Metrics
    tracing: Tracing
    tool_servers: ToolServers

    def web(self) -> WebApp:
        """Returns the web application of this process."""
        http, token = self.load(HttpSettings), self.load(MetricsSettings).token
        languages, context = self.load(LanguageSettings).languages, self._admin_context()
        admin.check_extra(context.settings.oidc)
        push = self._push_apis()
        return asgi_app.create_app(
            self.adapters,
            self.async_inbox,
            self.readiness,
            partial(self._pages, self.load(ChatPageSettings), http, languages, context),
            (*metrics_endpoint.operations(token), *(push_routes.OPERATIONS if push else ())),
            apis=push,
            routes=(*admin.native_routes(context), metrics_endpoint.route(self.metrics, token)),
            trusted_proxies=http.trusted_proxies,
            languages=languages,
        )

    def _pages(
        self, page: ChatPageSettings, http: HttpSettings, languages: Languages, context: AdminContext
    ) -> Sequence[flask.Blueprint]:
        from gateway.admin.blueprint import blueprint  # noqa: PLC0415  # with Flask, when the first page is asked for
        from gateway.web.chat_page import Assets, ChatPage  # noqa: PLC0415

        assets, max_chars = Assets(), self.settings.max_message_chars
        chat_page = ChatPage(page, assets, http.cors_origins, bool(http.keys), max_chars, languages)
        return (assets.routes(), chat_page.routes(), blueprint(replace(context, assets=assets.base_path)))

    def _push_apis(self) -> Sequence[Api]:
        """Returns the routes of pushed messages; none while no key may push."""
        keys = self.load(PushSettings).keys
        if not keys:
            return ()
        limits = self.settings.max_message_chars, self.settings.max_reply_chars
        messages = PushMessages(self.adapters, self.assistants.router)
        handlers = push_routes.PushRoutes(ApiKeys(keys), messages, self.store.schedules, self.async_inbox, *limits)
        return (push_routes.api(handlers),)

    def _admin_context(self) -> AdminContext:
        return AdminContext(
            settings=self.load(AdminSettings),
            inbox=self.inbox,
            store=self.store,
            checks=self.checks,
            platforms=[adapter.name for adapter in self.adapters],
            backend=self.assistants.default.backend.name,
            schedules=self.store.schedules,
            callbacks=self.store.callbacks,
            handovers=self.store.handovers,
            max_answer_chars=self.settings.max_reply_chars,
            turn_logs=self.store.turn_logs,
            run=self.worker.run_coroutine,
            is_stopping=lambda: self.worker.is_draining,
            feedback=self.store.feedback,
            budget_store=self.store.ledger,
            budget_report=self.store.budget_report,
            rules=Rules.from_settings(self.load(AdmissionSettings)),
            currency=self.load(PriceSettings).price_currency,
            about=self.assistants.default.backend.description,
            assistants=lambda: tuple(self.configuration.get().assistants),
            configuration=self.configuration.get,
            backends=lambda: [self._described(each) for each in self.assistants],
        )

    def _described(self, running: RunningAssistant) -> RunningBackend:
        backend, checked_as = running.backend, self._check_name(running)
        return RunningBackend(running.name, backend.name, backend.model, backend.description, checked_as)

    def _check_name(self, running: RunningAssistant) -> str:
        """Returns the name of an assistant in the results of ``checks``."""
        return running.backend.name if running is self.assistants.default else f"assistant {running.name}"

    @property
    def description(self) -> str:
        """Returns the default assistant in words, and the names of the others."""
        names = [each.name for each in self.assistants if each is not self.assistants.default]
        about = self.assistants.default.backend.description
        return f"{about}, and {', '.join(names)}" if names else about

    async def readiness(self) -> Sequence[CheckResult]:
        """Checks the database and the default assistant's backend: without another one the process is of use."""
        database = in_thread(self.threads, check_database, self.store)
        return (*await database, *await self.assistants.default.backend.check())

    def checks(self) -> Mapping[str, Sequence[CheckResult]]:
        """Checks the database, the assistants, their MCP servers and the platforms; returns the results by name."""

        async def run_checks() -> Mapping[str, Sequence[CheckResult]]:
            checks = {each.name: _in_time(each.check()) for each in self.adapters}
            for each in self.assistants:
                checks[self._check_name(each)] = _in_time(each.backend.check())
            if self.tool_servers.in_use:
                checks["mcp"] = _in_time(self.tool_servers.check())
            return dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))

        return {**self.worker.run_coroutine(run_checks()), "database": check_database(self.store)}

    def listen(self) -> None:
        """Starts the adapters that fetch messages themselves (polling, sockets). Returns at once."""
        for adapter in self.adapters:
            if isinstance(adapter, BackgroundReceiver):
                adapter.start_receiving(self.inbox)

    def notify_resolved(self, turn: TurnId) -> None:
        """Tells the adapters that another process resolved a turn for which a caller may wait here."""
        for adapter in self.adapters:
            if isinstance(adapter, HasWaitingCallers):
                adapter.notify_resolved(turn)

    def drain(self, grace: float) -> None:
        """Stops accepting work; ``close`` is called within ``grace`` seconds. Returns at once."""
        self.worker.drain()
        for adapter in self.adapters:
            if isinstance(adapter, BackgroundReceiver):
                self.threads.submit(adapter.stop_receiving)
            if isinstance(adapter, HasWaitingCallers):
                adapter.drain(grace)

    def close(self, grace: float) -> None:
        """Waits up to ``grace`` seconds for turns in progress, releases the rest unfinished, and closes everything."""
        for adapter in self.adapters:
            if isinstance(adapter, BackgroundReceiver):
                adapter.stop_receiving()
        self.worker.finish(grace)
        for adapter in self.adapters:
            if isinstance(adapter, Closeable):
                self.worker.run_coroutine(adapter.close())
        self.worker.run_coroutine(self.assistants.close())
        self.worker.stop()
        self.threads.shutdown()
        self.store.close()
        self.tracing.close(grace)


def check_database(store: SqlStore) -> Sequence[CheckResult]:
    """Checks that the database answers, and has space. Raises nothing."""
    full = (CheckResult("disk", ok=False, detail=DISK_FULL),) if store.is_disk_full() else ()
    try:
        store.ping()
    except StoreUnavailable as exc:
        return (CheckResult("database", ok=False, detail=str(exc)), *full)
    return (CheckResult("database", ok=True), *full)


async def _in_time(check: Awaitable[Sequence[CheckResult]]) -> Sequence[CheckResult]:
    """Awaits a check; returns a failed result after ``CHECK_SECONDS``."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except TimeoutError:
        return (CheckResult("answers", ok=False, detail=f"no response within {CHECK_SECONDS:g} s"),)
