"""Replaces what is raised while a server is asked by the errors of ``error_map``."""

from __future__ import annotations

from gateway.assistants.errors.error_map import as_lost, translate
from gateway.domain.errors import AssistantError, DeliveryError, LeaseLost


class translated_errors:  # noqa: N801  # used like a function of contextlib, at half the cost
    """Converts every exception raised inside to an AssistantError, except LeaseLost and DeliveryError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, Exception):
            raise_translated(exc)


def raise_translated(exc: Exception, *, answer_began: bool = False) -> None:
    """Raises the AssistantError for an exception of a request, unless it is one, or says nothing of the server.

    ``answer_began``: see ``as_lost``.
    """
    if isinstance(exc, LeaseLost | DeliveryError):
        return
    error = exc if isinstance(exc, AssistantError) else translate(exc)
    if answer_began:
        error = as_lost(error)
    if error is not exc:
        raise error from exc
