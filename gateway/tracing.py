"""One trace from what a platform told to the delivered reply, across processes; off unless a collector is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack, cast

from pydantic import field_validator

from gateway.errors import GatewayError, SettingsError
from gateway.settings import Environment

if TYPE_CHECKING:  # an extra: loaded when tracing is on, and only then
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span as VendorSpan

NAME = "chat-gateway"
NAMESPACE = "gateway"
TRACEPARENT = "traceparent"
"""The header, as in https://www.w3.org/TR/trace-context/"""

NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT: tracing needs two more packages. Install them with "
    "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http, or unset the variable."
)


class TracingSettings(Environment):
    """What turns tracing on. All other OTEL_ variables are read by OpenTelemetry itself, from the environment."""

    otel_exporter_otlp_endpoint: str | None = None
    """Where a collector is, such as ``http://localhost:4318``: spans go to ``/v1/traces`` there, over HTTP."""
    otel_exporter_otlp_traces_endpoint: str | None = None
    """Where exactly spans go, instead."""

    @field_validator("otel_exporter_otlp_endpoint", "otel_exporter_otlp_traces_endpoint")
    @classmethod
    def _url(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must be a URL that begins with http:// or https://")
        return url

    @property
    def address(self) -> str | None:
        """Where spans go; None: nowhere. opentelemetry.io/docs/specs/otel/protocol/exporter"""
        if self.otel_exporter_otlp_traces_endpoint or not self.otel_exporter_otlp_endpoint:
            return self.otel_exporter_otlp_traces_endpoint
        return f"{self.otel_exporter_otlp_endpoint.removesuffix('/')}/v1/traces"


class About(TypedDict, total=False):
    """What may be said of a span. Never what somebody said, who it was, or a secret."""

    turn: str
    platform: str
    code: str
    attempt: int
    backend: str
    process: str


class Span(Protocol):
    @property
    def traceparent(self) -> str:
        """What makes other spans children of this one, here or in another process; empty when nobody traces."""
        ...

    def fail(self, exc: BaseException) -> None:
        """What the span stands for failed. Kept of it: its class, and the code if it is ours; never its words."""
        ...


class Tracing:
    """Makes spans. Thread-safe; a span may be around whatever its caller does, on a loop or in a thread."""

    def __init__(self, recorder: _Recorder | None) -> None:
        self._recorder = recorder

    @classmethod
    def off(cls) -> Tracing:
        """Spans that cost nothing and go nowhere."""
        return cls(None)

    @classmethod
    def on(cls, processor: SpanProcessor) -> Tracing:
        """Spans that go to this processor, sampled and described as OpenTelemetry's own variables say."""
        return cls(_Recorder(processor))

    def span(self, name: str, parent: str = "", **about: Unpack[About]) -> AbstractContextManager[Span]:
        """A span around what is done inside, which is marked as failed if that raises.

        ``parent`` is a ``traceparent``, ours or a caller's; without one, or with one that cannot be read, a new trace
        begins.
        """
        if self._recorder is None:
            return UNTRACED
        return self._recorder.span(name, parent, cast("Mapping[str, str | int]", about))

    def close(self, grace: float) -> None:
        """Send what is left, for up to ``grace`` seconds. Spans that end later are dropped."""
        if self._recorder is not None:
            self._recorder.close(grace)


def build(settings: TracingSettings) -> Tracing:
    """Tracing as it is set. Raises SettingsError when it is on and OpenTelemetry is not installed."""
    if settings.address is None:
        return Tracing.off()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # likewise
    except ImportError as exc:
        raise SettingsError(NOT_INSTALLED) from exc
    return Tracing.on(BatchSpanProcessor(OTLPSpanExporter(settings.address)))


# ---------------------------------------------------------------- off


class _Untraced:
    traceparent = ""

    def fail(self, exc: BaseException) -> None:
        """There is nobody to tell."""


UNTRACED: AbstractContextManager[Span] = nullcontext(_Untraced())


# ---------------------------------------------------------------- on


class _Recorder:
    """The part that knows OpenTelemetry. Parents are said, never taken from what happens to be current."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.context import Context  # noqa: PLC0415  # an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # likewise
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  # so

        self._nothing_above = Context()
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(NAME)

    @contextmanager
    def span(self, name: str, parent: str, about: Mapping[str, str | int]) -> Iterator[Span]:
        above = self._propagator.extract({TRACEPARENT: parent}, self._nothing_above)
        attributes = {f"{NAMESPACE}.{key}": value for key, value in about.items()}
        started = self._tracer.start_span(name, above, attributes=attributes)
        span = _Traced(started)
        try:
            yield span
        except BaseException as exc:
            span.fail(exc)
            raise
        finally:
            started.end()

    def close(self, grace: float) -> None:
        # The SDK may wait for half a minute, and cannot be told otherwise. What is left of it ends with the process.
        shut = self._provider.shutdown
        sending = threading.Thread(target=shut, name="tracing", daemon=True)  # noqa: TID251  # to wait no longer
        sending.start()
        sending.join(grace)


class _Traced:
    def __init__(self, span: VendorSpan) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        known = self._span.get_span_context()
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}" if known.is_valid else ""

    def fail(self, exc: BaseException) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415  # an extra

        self._span.set_attribute("error.type", type(exc).__name__)
        if isinstance(exc, GatewayError):
            self._span.set_attribute(f"{NAMESPACE}.code", exc.code)
        if isinstance(exc, Exception):  # what was broken off did not go wrong
            self._span.set_status(StatusCode.ERROR)


def _resource() -> Resource:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415  # an extra

    found = Resource.create()
    unnamed = str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found.merge(Resource({SERVICE_NAME: NAME})) if unnamed else found
