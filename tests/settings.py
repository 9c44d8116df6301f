"""Settings of given values alone, whatever the machine's environment and its `.env` say."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.settings.base import EnvironmentSettings

Kind = TypeVar("Kind", bound=EnvironmentSettings)


def settings_of(kind: type[Kind], **values: Any) -> Kind:
    """Returns settings of these values, validated as any; looking at each source for each field takes milliseconds."""
    settings = kind.__new__(kind)
    BaseModel.__init__(settings, **values)
    return settings
