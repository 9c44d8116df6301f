"""Handles the API calls of a fake platform: records them, applies faults, performs the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from tests.fakes.change_signal import ChangeSignal
from tests.fakes.platform_faults import (
    ConnectionRefused,
    HangingCall,
    HttpStatus,
    Json,
    PlatformFault,
    PlatformFaults,
    RecordedCall,
    ResponseLost,
)

encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class PlatformResponse:
    """A response of the platform. ``summary`` is what the record of the call shows of it."""

    summary: str
    body: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_web_response(self) -> web.Response:
        raw = encode(self.body).encode(errors="surrogatepass")
        headers = {"Content-Type": "application/json; charset=utf-8", **self.headers}
        return web.Response(status=self.status, body=raw, headers=headers)


class CallHandler:
    """A subclass performs the calls, and has the platform's error responses for faults that perform nothing."""

    def __init__(self, changes: ChangeSignal, faults: PlatformFaults, calls: list[RecordedCall]) -> None:
        self._changes = changes
        self._faults = faults
        self._calls = calls

    async def perform(self, call: RecordedCall) -> PlatformResponse:
        raise NotImplementedError

    def fault_response(self, fault: PlatformFault | None) -> PlatformResponse | None:
        """Returns the platform's own error response for a fault; None if it has none."""
        raise NotImplementedError

    async def handle(self, request: web.BaseRequest, call: RecordedCall) -> web.StreamResponse:
        index = self._record(call)
        fault = self._faults.next_for(call.method)
        await self._faults.run_before(call)
        if isinstance(fault, HangingCall):
            await self._faults.new_release_event().wait()
        said = self.fault_response(fault)
        if said is None and isinstance(fault, HttpStatus):
            return self._status_page(index, fault.status)
        if said is None and not isinstance(fault, ConnectionRefused):
            said = await self.perform(call)
            await self._faults.run_after(replace(call, answer=said.body))
        return self._answer(request, index, fault, said)

    def _answer(
        self, request: web.BaseRequest, index: int, fault: PlatformFault | None, response: PlatformResponse | None
    ) -> web.StreamResponse:
        if response is None or isinstance(fault, ResponseLost):
            if request.transport is not None:
                request.transport.abort()
            self._record_answer(index, "lost" if response else "refused", response.body if response else {})
            return web.Response()  # never sent
        self._record_answer(index, response.summary, response.body)
        return response.to_web_response()

    def _status_page(self, index: int, status: int) -> web.Response:
        self._record_answer(index, str(status), {})
        page = "<html><body>Server Error</body></html>"
        return web.Response(status=status, text=page, content_type="text/html")

    def _record(self, call: RecordedCall) -> int:
        with self._changes.notify():
            self._calls.append(call)
            return len(self._calls) - 1

    def _record_answer(self, index: int, summary: str, body: Json) -> None:
        with self._changes.notify():
            self._calls[index] = replace(self._calls[index], summary=summary, answer=body)
