"""Tracing: one trace from a platform's request to the delivered reply, across processes. Off by default."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack, cast

from gateway.domain.errors import GatewayError
from gateway.domain.extras import imports_of_extra
from gateway.settings import EnvironmentSettings
from gateway.settings.values import ServerUrl

if TYPE_CHECKING:  # an optional dependency: loaded only when tracing is on
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span as VendorSpan

DEFAULT_SERVICE_NAME = "chat-gateway"
ATTRIBUTE_PREFIX = "gateway"
TRACEPARENT = "traceparent"
"""The header, as in https://www.w3.org/TR/trace-context/"""


class TracingSettings(EnvironmentSettings):
    """Settings that enable tracing. OpenTelemetry reads all other OTEL_ variables from the environment itself."""

    otel_exporter_otlp_endpoint: ServerUrl | None = None
    """The address of an OTLP collector, such as ``http://localhost:4318``; spans are sent to ``/v1/traces`` there, over
    HTTP. Unset: no tracing."""
    otel_exporter_otlp_traces_endpoint: ServerUrl | None = None
    """The exact URL for spans, used in place of the address above."""

    @property
    def traces_url(self) -> str | None:
        """Where spans are sent; None when tracing is off. opentelemetry.io/docs/specs/otel/protocol/exporter"""
        if self.otel_exporter_otlp_traces_endpoint or not self.otel_exporter_otlp_endpoint:
            return self.otel_exporter_otlp_traces_endpoint
        return f"{self.otel_exporter_otlp_endpoint.removesuffix('/')}/v1/traces"


class SpanAttributes(TypedDict, total=False):
    """Attributes that a span may have: never a message, a person or a secret."""

    turn: str
    platform: str
    code: str
    attempt: int
    backend: str
    process: str


class TraceSpan(Protocol):
    """A running span, as callers see it."""

    @property
    def traceparent(self) -> str:
        """Makes other spans children of this one, here or in another process; empty when tracing is off."""
        ...

    def record_error(self, exc: BaseException) -> None:
        """Marks the span as failed. Records the exception's class, and the code of our own; never its text."""
        ...


class Tracing:
    """Creates spans. Thread-safe; a span may enclose code on an event loop or in a thread."""

    def __init__(self, recorder: _OtelRecorder | None) -> None:
        self._recorder = recorder

    @classmethod
    def disabled(cls) -> Tracing:
        """Returns tracing whose spans do nothing."""
        return cls(None)

    @classmethod
    def with_processor(cls, processor: SpanProcessor) -> Tracing:
        """Returns tracing that sends spans to ``processor``, sampled and described by OpenTelemetry's own variables."""
        return cls(_OtelRecorder(processor))

    def span(
        self, name: str, parent: str = "", **attributes: Unpack[SpanAttributes]
    ) -> AbstractContextManager[TraceSpan]:
        """Opens a span around the block, which is marked as failed if the block raises.

        ``parent`` is a ``traceparent``, ours or a caller's; an empty or unreadable one starts a new trace.
        """
        if self._recorder is None:
            return NO_OP_SPAN
        return self._recorder.span(name, parent, cast("Mapping[str, str | int]", attributes))

    def close(self, grace_seconds: float) -> None:
        """Sends the remaining spans for up to ``grace_seconds``. Spans that end later are dropped."""
        if self._recorder is not None:
            self._recorder.close(grace_seconds)


def build(settings: TracingSettings) -> Tracing:
    """Builds tracing from the settings. Raises SettingsError when it is on and OpenTelemetry is not installed."""
    if settings.traces_url is None:
        return Tracing.disabled()
    with imports_of_extra("tracing", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    return Tracing.with_processor(BatchSpanProcessor(OTLPSpanExporter(settings.traces_url)))


# ---------------------------------------------------------------- off


class _NoOpSpan:
    traceparent = ""

    def record_error(self, exc: BaseException) -> None:
        """Does nothing."""


NO_OP_SPAN: AbstractContextManager[TraceSpan] = nullcontext(_NoOpSpan())


# ---------------------------------------------------------------- on


class _OtelRecorder:
    """Creates OpenTelemetry spans. Parents are passed explicitly, never taken from the current context."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.context import Context  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # likewise
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  # so

        self._empty_context = Context()
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(resource=_service_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(DEFAULT_SERVICE_NAME)

    @contextmanager
    def span(self, name: str, parent: str, attributes: Mapping[str, str | int]) -> Iterator[TraceSpan]:
        context = self._propagator.extract({TRACEPARENT: parent}, self._empty_context)
        prefixed = {f"{ATTRIBUTE_PREFIX}.{key}": value for key, value in attributes.items()}
        vendor_span = self._tracer.start_span(name, context, attributes=prefixed)
        span = _OtelSpan(vendor_span)
        try:
            yield span
        except BaseException as exc:
            span.record_error(exc)
            raise
        finally:
            vendor_span.end()

    def close(self, grace_seconds: float) -> None:
        # The SDK may wait for 30 s, which is not configurable: a daemon thread ends with the process.
        shut = self._provider.shutdown
        sending = threading.Thread(target=shut, name="tracing", daemon=True)  # noqa: TID251  # so that the wait can be limited
        sending.start()
        sending.join(grace_seconds)


class _OtelSpan:
    def __init__(self, span: VendorSpan) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        ids = f"{context.trace_id:032x}-{context.span_id:016x}"
        return f"00-{ids}-{context.trace_flags:02x}" if context.is_valid else ""

    def record_error(self, exc: BaseException) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415  # an extra

        self._span.set_attribute("error.type", type(exc).__name__)
        if isinstance(exc, GatewayError):
            self._span.set_attribute(f"{ATTRIBUTE_PREFIX}.code", exc.code)
        if isinstance(exc, Exception):  # a cancellation is not an error
            self._span.set_status(StatusCode.ERROR)


def _service_resource() -> Resource:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415  # an extra

    found = Resource.create()
    unnamed = str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found.merge(Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME})) if unnamed else found
