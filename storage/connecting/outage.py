"""Says to the operator why a PostgreSQL server cannot be reached: where it was looked for, and what it answered."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import URL

DEFAULT_PORT: Final = 5432

CAUSES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"connection refused", "nothing listens there (connection refused)"),
        (r"password authentication failed|no password supplied|SASL|SCRAM", "it refuses the user or the password"),
        (r'database ".*" does not exist', "it has no such database"),
        (r'role ".*" does not exist', "it has no such user"),
        (r"no pg_hba.conf entry", "it does not admit this client (pg_hba.conf)"),
        (r"resolve|translate host name|name or service not known|nodename nor servname", "there is no such host"),
        (r"no such file or directory", "there is no such socket"),
        (r"network is unreachable|no route to host", "no network leads there"),
        (r"certificate|SSL|TLS", "there is no TLS connection to it"),
        (r"starting up|shutting down|recovery", "it is starting or stopping"),
        (r"timeout|timed out", "it does not answer in time"),
        (r"closed the connection|connection is closed|terminating connection|lost", "it closed the connection"),
    )
)
"""By texts of libpq and the server, as connecting has no error codes:
github.com/postgres/postgres/blob/master/src/interfaces/libpq/fe-connect.c"""
MAX_WORDS_CHARS: Final = 200


def describe_outage(url: URL, error: BaseException) -> str:
    """Returns one sentence, without a password. An unknown cause is told in the driver's words."""
    said = str(error)
    words = " ".join(said.split())[:MAX_WORDS_CHARS] or type(error).__name__
    cause = next((cause for pattern, cause in CAUSES if pattern.search(said)), words)
    return f"The database at {_place(url)} cannot be reached: {cause}. Check DATABASE_URL, or try again later."


def _place(url: URL) -> str:
    host = url.query.get("host", url.host) or "the default socket"
    named = host if isinstance(host, str) else ",".join(host)
    return named if named.startswith("/") or " " in named else f"{named}:{url.port or DEFAULT_PORT}"
