"""Tracing: one trace across processes, sent to an OTLP collector over HTTP; nothing when it is off."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.domain.errors import AssistantRateLimited, SettingsError
from gateway.observability.tracing import Tracing, TracingSettings, build
from tests.fakes.receiver import OK, FakeReceiver, HttpAnswer, ReceivedRequest

ROOT = Path(__file__).parents[3]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER_TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
W3C = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


class TracedProcess:
    """Tracing of one process, and the spans it recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing.with_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span


def trace_and_parent(span: ReadableSpan) -> tuple[str, str | None]:
    """Returns the ids of a span's trace and of its parent."""
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else None


# ---------------------------------------------------------------- off

DISABLED_PROGRAM = """
import sys
from gateway.observability.tracing import Tracing, TracingSettings, build

tracing = build(TracingSettings.load())
with tracing.span("run", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", turn="turn_1") as span:
    span.record_error(ValueError())
    print(repr(span.traceparent))
tracing.close(1.0)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_nothing_is_loaded_while_it_is_off() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    program = [sys.executable, "-c", DISABLED_PROGRAM]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == (b"''\n[]\n", b"")


def test_an_error_passes_through_a_span_that_is_off() -> None:
    with pytest.raises(AssistantRateLimited), Tracing.disabled().span("run"):
        raise AssistantRateLimited


# ---------------------------------------------------------------- one trace


def test_spans_of_several_processes_make_one_trace() -> None:
    web, worker, heir = TracedProcess(), TracedProcess(), TracedProcess()
    with web.tracing.span("receive") as receive, web.tracing.span("accept", receive.traceparent) as accept:
        stored = accept.traceparent
    with worker.tracing.span("run", stored, attempt=1):
        pass
    with heir.tracing.span("run", stored, attempt=2), heir.tracing.span("deliver", stored):
        pass
    accepted, received = map(trace_and_parent, web.spans)
    trace, receive_id, accept_id = received[0], receive.traceparent.split("-")[2], accept.traceparent.split("-")[2]
    assert received == (trace, None)
    assert accepted == (trace, receive_id)
    assert [trace_and_parent(span) for span in (*worker.spans, *heir.spans)] == [(trace, accept_id)] * 3


def test_the_trace_of_a_caller_is_gone_on_with() -> None:
    process = TracedProcess()
    with process.tracing.span("receive", CALLER_TRACEPARENT) as span:
        assert span.traceparent.startswith(f"00-{TRACE}-")
        assert CALLER not in span.traceparent
    assert trace_and_parent(process.span) == (TRACE, CALLER)


def test_a_trace_that_its_caller_does_not_record_is_not_recorded_but_gone_on_with() -> None:
    process = TracedProcess()
    with process.tracing.span("receive", f"00-{TRACE}-{CALLER}-00") as span:
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-00", span.traceparent)
    assert process.spans == ()


@given(st.text(max_size=60) | st.from_regex(W3C, fullmatch=True))
def test_whatever_a_caller_sends_a_span_has_a_name_that_can_be_gone_on_from(sent: str) -> None:
    with TracedProcess().tracing.span("receive", sent) as span:
        assert W3C.fullmatch(span.traceparent)


def test_what_is_no_parent_begins_a_new_trace() -> None:
    process = TracedProcess()
    for parent in ("", "none", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01"):
        with process.tracing.span("receive", parent):
            pass
    assert [trace_and_parent(span)[1] for span in process.spans] == [None] * 4
    assert len({trace_and_parent(span)[0] for span in process.spans}) == 4


async def test_spans_of_turns_that_run_at_the_same_time_are_not_mixed_up() -> None:
    process = TracedProcess()

    async def run(number: int) -> str:
        with process.tracing.span("run", turn=f"turn_{number}") as span:
            await asyncio.sleep(0)
            with process.tracing.span("deliver", span.traceparent):
                await asyncio.sleep(0)
            return span.traceparent.split("-")[1]

    traces = await asyncio.gather(*map(run, range(10)))
    assert len(set(traces)) == 10
    assert sorted(trace_and_parent(span)[0] for span in process.spans if span.name == "deliver") == sorted(traces)


def test_threads_may_make_spans_at_the_same_time() -> None:
    process = TracedProcess()

    def run(_: int) -> None:
        with process.tracing.span("receive"):
            pass

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(50)))
    assert len({trace_and_parent(span)[0] for span in process.spans}) == 50


# ---------------------------------------------------------------- what a span tells


def test_a_span_tells_what_is_known_and_nothing_more() -> None:
    process = TracedProcess()
    with process.tracing.span("run", turn="turn_1", platform="slack", attempt=2):
        pass
    assert process.span.name == "run"
    assert process.span.attributes == {"gateway.turn": "turn_1", "gateway.platform": "slack", "gateway.attempt": 2}
    assert process.span.status.is_unset


@pytest.mark.parametrize(
    ("exc", "attributes"),
    [
        (AssistantRateLimited("secret"), {"error.type": "AssistantRateLimited", "gateway.code": "rate_limited"}),
        (AssistantRateLimited("secret", code="quota"), {"error.type": "AssistantRateLimited", "gateway.code": "quota"}),
        (ValueError("secret"), {"error.type": "ValueError"}),
    ],
)
def test_a_span_in_which_something_goes_wrong_tells_what_but_not_in_which_words(
    exc: Exception, attributes: dict[str, str]
) -> None:
    process = TracedProcess()
    with pytest.raises(type(exc)), process.tracing.span("run"):
        raise exc
    assert process.span.attributes == attributes
    assert not process.span.status.is_ok
    assert not process.span.status.is_unset
    assert "secret" not in process.span.to_json()


def test_a_span_can_be_told_of_a_failure_that_does_not_end_it() -> None:
    process = TracedProcess()
    with process.tracing.span("run") as span:
        span.record_error(AssistantRateLimited())
        assert process.spans == ()
    assert process.span.attributes == {"error.type": "AssistantRateLimited", "gateway.code": "rate_limited"}


def test_what_was_broken_off_did_not_go_wrong() -> None:
    process = TracedProcess()
    with pytest.raises(asyncio.CancelledError), process.tracing.span("run"):
        raise asyncio.CancelledError
    assert process.span.attributes == {"error.type": "CancelledError"}
    assert process.span.status.is_unset


# ---------------------------------------------------------------- the collector


def collected(received: Sequence[ReceivedRequest]) -> list[tuple[str, Sent]]:
    """Returns each received span, with the name of the service that sent it."""
    spans = []
    for request in received:
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            (name,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            spans += [(name, span) for scope in resource.scope_spans for span in scope.spans]
    return spans


def traced(monkeypatch: pytest.MonkeyPatch, url: str, **more: str) -> Tracing:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    return build(TracingSettings.load())


def base(collector: FakeReceiver) -> str:
    return collector.url.removesuffix("/v1/traces")


def test_spans_reach_a_collector_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeReceiver(path="/v1/traces") as collector:
        tracing = traced(monkeypatch, base(collector), OTEL_EXPORTER_OTLP_HEADERS="api-key=k1")
        with tracing.span("receive", CALLER_TRACEPARENT, turn="turn_1") as span:
            pass
        assert collector.received == []
        tracing.close(20)
        ((service, sent),) = collected(collector.received)
        (request,) = collector.received
    assert request.path == "/v1/traces"
    assert (request.headers["content-type"], request.headers["api-key"]) == ("application/x-protobuf", "k1")
    assert (service, sent.name) == ("chat-gateway", "receive")
    assert (sent.trace_id.hex(), sent.parent_span_id.hex()) == (TRACE, CALLER)
    assert sent.span_id.hex() == span.traceparent.split("-")[2]
    assert [(a.key, a.value.string_value) for a in sent.attributes] == [("gateway.turn", "turn_1")]
    assert sent.end_time_unix_nano >= sent.start_time_unix_nano > 0


def test_opentelemetrys_own_variables_are_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeReceiver(path="/v1/traces") as collector:
        tracing = traced(
            monkeypatch, base(collector), OTEL_SERVICE_NAME="ada", OTEL_TRACES_SAMPLER="parentbased_always_off"
        )
        for parent in ("", CALLER_TRACEPARENT):
            with tracing.span("receive", parent):
                pass
        tracing.close(20)
        assert [(service, sent.trace_id.hex()) for service, sent in collected(collector.received)] == [("ada", TRACE)]


def test_tracing_that_is_disabled_as_a_whole_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeReceiver(path="/v1/traces") as collector:
        tracing = traced(monkeypatch, base(collector), OTEL_SDK_DISABLED="true")
        with tracing.span("receive") as span:
            assert span.traceparent == ""
            span.record_error(ValueError())
        tracing.close(20)
        assert collector.received == []


def test_a_collector_that_does_not_answer_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = Event(), Event()

    def answer(_: ReceivedRequest) -> HttpAnswer:
        asked.set()
        go_on.wait(20)
        return OK

    with FakeReceiver(answer, "/v1/traces") as collector:
        tracing = traced(monkeypatch, base(collector))
        with tracing.span("receive"):
            pass
        tracing.close(0.1)
        assert asked.wait(20)
        assert not go_on.is_set()  # close returned nevertheless
        go_on.set()


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"}, "http://c/t"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"}, "http://c/t"),
    ],
)
def test_spans_go_where_the_variables_say(
    variables: dict[str, str], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert TracingSettings.load().traces_url == address


@pytest.mark.parametrize("missing", ["opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http"])
def test_what_is_not_installed_is_said_with_the_way_to_install_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter.otlp.proto.http")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        SettingsError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: needs the package opentelemetry, .* the extra tracing: "
    ):
        traced(monkeypatch, "http://127.0.0.1:9")
