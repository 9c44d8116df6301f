"""Commands that the operator is told to type, as they work in the folder where this program was started."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

SCRIPT = "chat-gateway"
"""What an installation of the wheel has: ``pyproject.toml``."""


def gateway_command(words: str) -> str:
    """Returns a command of the gateway, such as ``.venv/bin/python -m gateway check``."""
    started = sys.argv[0] if sys.argv else ""
    program = called(started) if Path(started).stem == SCRIPT else f"{python()} -m gateway"
    return f"{program} {words}"


def python() -> str:
    """Returns how the Python that runs this is called here."""
    return called(sys.executable) if sys.executable else "python"


def called(program: str) -> str:
    """Returns how a program is called here: by its name, if that finds it, or by where it is.

    A link is not followed: it may be the Python of an environment.
    """
    path, here = Path(program).absolute(), Path.cwd()
    found = shutil.which(path.name)
    if found is not None and Path(found).absolute() == path:
        return path.name
    if not path.is_relative_to(here):
        return shlex.quote(str(path))
    within = path.relative_to(here)
    return shlex.quote(str(within) if len(within.parts) > 1 else os.path.join(os.curdir, within))  # noqa: PTH118  # which a Path leaves out
