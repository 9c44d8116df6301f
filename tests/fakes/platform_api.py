"""Handles the API calls of a fake platform: records them, applies faults, performs the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from tests.fakes.change_signal import Bell
from tests.fakes.platform_faults import Call, Fault, Faults, Hang, Json, Lost, Refuse, Status

encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Said:
    """A response of the platform. ``summary`` is what the record of the call shows of it."""

    word: str
    body: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        raw = encode(self.body).encode(errors="surrogatepass")
        headers, kind = self.headers, "application/json"
        return web.Response(status=self.status, body=raw, headers=headers, content_type=kind, charset="utf-8")


class Door:
    """A subclass performs the calls, and has the platform's error responses for faults that perform nothing."""

    def __init__(self, bell: Bell, faults: Faults, calls: list[Call]) -> None:
        self._bell = bell
        self._faults = faults
        self._calls = calls

    async def perform(self, call: Call) -> Said:
        raise NotImplementedError

    def refuse(self, fault: Fault | None) -> Said | None:
        """Returns the platform's own error response for a fault; None if it has none."""
        raise NotImplementedError

    async def take(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        index = self._note(call)
        fault = self._faults.take(call.method)
        await self._faults.run_before(call)
        if isinstance(fault, Hang):
            await self._faults.gate().wait()
        said = self.refuse(fault)
        if said is None and isinstance(fault, Status):
            return self._stumble(index, fault.status)
        if said is None and not isinstance(fault, Refuse):
            said = await self.perform(call)
            await self._faults.run_after(replace(call, answer=said.body))
        return self._answer(request, index, fault, said)

    def _answer(
        self, request: web.BaseRequest, index: int, fault: Fault | None, said: Said | None
    ) -> web.StreamResponse:
        if said is None or isinstance(fault, Lost):
            if request.transport is not None:
                request.transport.abort()
            self._sum_up(index, "lost" if said else "refused", said.body if said else {})
            return web.Response()  # never sent
        self._sum_up(index, said.word, said.body)
        return said.response()

    def _stumble(self, index: int, status: int) -> web.Response:
        self._sum_up(index, str(status), {})
        page = "<html><body>Server Error</body></html>"
        return web.Response(status=status, text=page, content_type="text/html")

    def _note(self, call: Call) -> int:
        with self._bell.change():
            self._calls.append(call)
            return len(self._calls) - 1

    def _sum_up(self, index: int, word: str, body: Json) -> None:
        with self._bell.change():
            self._calls[index] = replace(self._calls[index], answered=word, answer=body)
