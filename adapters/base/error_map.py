"""Turns whatever a call to a platform raises into the errors of ``adapters.base.errors``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from adapters.base.errors import OutcomeUnknown, PlatformRateLimited, Rejected, Unreachable
from gateway.domain.errors import DeliveryError, SettingsError
from gateway.http_client import AnswerTooLong

FILE_CONTENT = "the content of a file"
"""Stands for the method name where a file's content is transferred."""
SOON = 2.0
"""Seconds after which a call may succeed."""
DEFAULT_RETRY_AFTER = 5.0
"""Seconds, for a 429 that does not say."""
MAX_RETRY_AFTER = 3600.0
MAX_DETAIL = 300
"""Characters of the platform's own words in an error."""

Handler = Callable[[str, Exception], DeliveryError]
"""Makes an error from the method's name and an exception."""


def handler_for(table: Mapping[type[BaseException], Handler], kind: type[BaseException], default: Handler) -> Handler:
    """Returns the handler of the nearest base class of ``kind`` in ``table``."""
    return next((table[base] for base in kind.__mro__ if base in table), default)


@dataclass(frozen=True, slots=True)
class CallErrors:
    """Makes the errors that do not depend on the platform's own codes."""

    platform: str
    """Its name in messages."""
    url_setting: str
    """The setting that holds the address of its API."""
    is_repeatable: Callable[[str], bool]
    """Whether a method may be called again after a lost answer: it shows nobody anything, or the same."""
    describe: Callable[[Exception], str]
    """Names an exception without quoting it: its text may contain an address with a token."""

    def rate_limited(self, method: str, seconds: float) -> DeliveryError:
        known = seconds if math.isfinite(seconds) else DEFAULT_RETRY_AFTER
        message = f"{self.platform} wants fewer calls of {method}"
        return PlatformRateLimited(message, retry_after=min(max(known, 0.0), MAX_RETRY_AFTER))

    def not_sent(self, method: str, exc: Exception) -> DeliveryError:
        message = f"{self.platform} cannot be reached for {method}: {self.describe(exc)}"
        return Unreachable(message, retry_after=SOON)

    def interrupted(self, method: str, exc: Exception) -> DeliveryError:
        """Handles an exception after which it is not known whether the call was done."""
        return self.no_result(method, self.describe(exc))

    def no_result(self, method: str, why: str) -> DeliveryError:
        if self.is_repeatable(method):
            return Unreachable(f"{self.platform} did not answer {method}: {why}", retry_after=SOON)
        return OutcomeUnknown(f"{self.platform} may or may not have done {method}: {why}", retry_after=SOON)

    def too_long(self, method: str, exc: Exception) -> DeliveryError:
        """Handles an AnswerTooLong, whose text is ours and quotes nothing."""
        return self.no_result(method, str(exc))

    def bad_url(self, method: str, exc: Exception) -> DeliveryError:
        return Rejected(f"The address of {method} is not valid. Check {self.url_setting}: {self.describe(exc)}")

    def invalid_call(self, method: str, exc: Exception) -> DeliveryError:
        return Rejected(f"The call of {method} is not valid: {self.describe(exc)}. Please report it")

    def misconfigured(self, method: str, exc: Exception) -> DeliveryError:
        """Handles a SettingsError, whose text is ours and quotes nothing."""
        return Rejected(f"{self.platform} cannot be called for {method}: {exc}")

    @property
    def of_network(self) -> Mapping[type[BaseException], Handler]:
        """What ``gateway.http_client`` raises, by whether the call can have arrived. Of any other it is not known."""
        return {
            aiohttp.ClientConnectorError: self.not_sent,  # refused, no such host, TLS, the proxy is not there
            aiohttp.ClientConnectorCertificateError: self.not_sent,
            aiohttp.ConnectionTimeoutError: self.not_sent,
            aiohttp.ServerFingerprintMismatch: self.not_sent,
            aiohttp.ClientHttpProxyError: self.not_sent,  # the proxy did not let us through
            aiohttp.InvalidURL: self.bad_url,
            aiohttp.NonHttpUrlClientError: self.bad_url,
            aiohttp.ClientError: self.interrupted,
            AnswerTooLong: self.too_long,
            SettingsError: self.misconfigured,
        }
