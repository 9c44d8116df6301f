"""POST /chat: the platform of programs. A caller waits for the reply, watches it come, or fetches it later."""

from adapters.http.adapter import HttpAdapter
from adapters.http.settings import HttpSettings

__all__ = ["HttpAdapter", "HttpSettings"]
