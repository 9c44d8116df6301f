"""What breaks on the way to a platform: whether the call can have arrived decides whether it is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import aiohttp
import pytest

from adapters.base.error_map import CallErrors, handler_for
from adapters.base.errors import OutcomeUnknown, Rejected, Unreachable
from gateway.domain.errors import DeliveryError, SettingsError

ERRORS = CallErrors("X", "X_API_URL", lambda method: method == "read", lambda exc: type(exc).__name__)


def family(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def translated(method: str, exc: Exception) -> DeliveryError:
    return handler_for(ERRORS.of_network, type(exc), ERRORS.interrupted)(method, exc)


NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
)
OTHERS = {TimeoutError, OSError, ConnectionResetError, json.JSONDecodeError, UnicodeDecodeError, AttributeError}
KINDS: list[type[Exception]] = sorted({*family(aiohttp.ClientError), *OTHERS}, key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_cannot_have_arrived_is_repeated(kind: type[Exception]) -> None:
    error = translated("post", kind.__new__(kind))
    if issubclass(kind, NOT_SENT):
        assert type(error) is Unreachable
    elif issubclass(kind, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        assert type(error) is Rejected
        assert "X_API_URL" in str(error)
    else:
        assert type(error) is OutcomeUnknown
    assert kind.__name__ in str(error)
    assert type(translated("read", kind.__new__(kind))) is not OutcomeUnknown


def test_a_setting_that_cannot_be_used_is_named() -> None:
    error = translated("post", SettingsError("The proxy must be a URL."))
    assert type(error) is Rejected
    assert "The proxy must be a URL." in str(error)
