"""Libraries that an installation may lack: those of extras that were not asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
            f"{setting}: needs the package {package}, which is not installed. Install the extra: "
            f"pip install 'chat-gateway[{extra}]', or unset the variable."
        ) from exc
