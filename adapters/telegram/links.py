"""Which addresses Telegram takes for a link. One that it does not take makes it refuse the whole message.

After the server: github.com/tdlib/td, LinkManager::check_link_impl and parse_url. Where that is lenient, this is not.
"""

from __future__ import annotations

import re

WEB = re.compile(r"https?://(?P<host>[^/?#]+)", re.IGNORECASE)
HOST = re.compile(r"(?=[^.:]*\.)(?!\.+(?::|$))(?:[A-Za-z0-9._-]|[^\x00-\x7f])+(?::(?P<port>[0-9]{1,5}))?")
"""With a dot in it; no user, no password and no IPv6."""
INNER = re.compile(r"tg://(?!user\b)[a-z0-9_-]+(?=[/?#]|$)", re.IGNORECASE)
"""Of Telegram's own, but for people: of somebody whom the bot does not know, it takes none."""
LARGEST_PORT = 65535


def is_link(address: str) -> bool:
    if INNER.match(address):
        return True
    found = WEB.match(address)
    host = HOST.fullmatch(found["host"]) if found else None
    return host is not None and (host["port"] is None or 0 < int(host["port"]) <= LARGEST_PORT)
