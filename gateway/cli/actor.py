"""Who runs a command, for the audit trail."""

from __future__ import annotations

import getpass
import socket


def actor() -> str:
    """Returns the user of the system who runs the command, and on which machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        user = "unknown user"
    return f"command line: {user}@{socket.gethostname()[:60]}"
