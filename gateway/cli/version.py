"""Which version of the gateway this is."""

from __future__ import annotations

import tomllib
from pathlib import Path

from gateway.domain.command_lines import SCRIPT

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
UNKNOWN = "of unknown version"


def version(pyproject: Path = PYPROJECT) -> str:
    """Returns the version in ``pyproject.toml`` beside the code, else that of the installed package."""
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        if project["name"] == SCRIPT:
            return str(project["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return _installed()


def _installed() -> str:
    from importlib import metadata  # noqa: PLC0415  # 2 MB that a server does without

    try:
        return metadata.version(SCRIPT)
    except metadata.PackageNotFoundError:
        return UNKNOWN
