"""POST /chat, the platform of programs: a caller waits for the reply, streams it, or fetches it later."""

from adapters.http.adapter import HttpAdapter
from adapters.http.settings import HttpSettings

__all__ = ["HttpAdapter", "HttpSettings"]
