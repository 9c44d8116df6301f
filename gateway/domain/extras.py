"""Libraries that an installation may lack: those of extras that were not asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.domain.command_lines import SCRIPT, python
from gateway.domain.errors import SettingsError


@contextmanager
def imports_of_extra(extra: str, setting: str) -> Iterator[None]:
    """Encloses imports of what is installed with ``chat-gateway[extra]``, and is needed because ``setting`` is set.

    Raises SettingsError, which names the extra and the setting, when something is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        raise SettingsError(
            f"{setting}: needs the package {package}, which is not installed. Install the extra {extra}: "
            f"{_installation(extra)}, or unset the variable."
        ) from exc


def _installation(extra: str) -> str:
    """Returns a command that installs an extra: its packages, as an installed gateway names them, or all there are.

    The gateway itself may have come from a file, so that its name finds nothing.
    """
    from importlib import metadata  # noqa: PLC0415  # 2 MB that nothing else needs

    try:
        required = metadata.requires(SCRIPT) or ()
    except metadata.PackageNotFoundError:
        required = ()
    halves = [each.partition(";") for each in required]
    packages = [package.strip() for package, _, marker in halves if f"extra == '{extra}'" in marker.replace('"', "'")]
    return f"{python()} -m pip install {shlex.join(packages) if packages else '-r requirements.txt'}"
