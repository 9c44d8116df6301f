"""One line of ``python -m gateway check``, returned by adapters, backends and the database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line in the output of ``python -m gateway check``."""

    name: str
    ok: bool
    detail: str = ""
