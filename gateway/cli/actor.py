"""Who runs a command, for the audit trail."""

from __future__ import annotations

import getpass
import socket


def actor() -> str:
    """Returns the user of the system who runs the command, and on which machine."""
    return f"command line: {login_name() or 'unknown user'}@{socket.gethostname()[:60]}"


def login_name() -> str:
    """Returns the name of the user of the system who runs the command; empty if there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under a number without a name
        return ""
