"""Options of commands that say whom they are about, and how a platform that there is not is told."""

from __future__ import annotations

from collections.abc import Callable, Collection

import click

from gateway.domain.errors import InputError

PlatformNames = Callable[[], Collection[str]]
"""Returns the names of all platforms, also of those that are not enabled."""


def require_platform(name: str, known: PlatformNames) -> None:
    """Raises InputError for a platform that there is not. ``name`` may be that of one of several bots."""
    if name.partition(":")[0] not in known():
        raise InputError(f"There is no platform {name!r}; write one of {', '.join(sorted(known()))}.")


def _require_name(_ctx: click.Context, _param: click.Parameter, name: str) -> str:
    # All turns of unknown authors have an empty name.
    if not name.strip():
        raise click.BadParameter("This must not be empty.")
    return name


person_platform = click.option(
    "--platform", required=True, callback=_require_name, metavar="NAME", help="Platform of the person."
)
person_user = click.option(
    "--user", required=True, callback=_require_name, metavar="ID", help="Id of the person on that platform."
)
