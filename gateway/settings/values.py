"""Checks what people write as the value of a setting. Errors never show the value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr

from gateway.domain.packages import offers

Network = IPv4Network | IPv6Network
BackendName = Literal["responses", "threads", "chat", "offline"]
BACKENDS: tuple[str, ...] = get_args(BackendName)
ONLINE = BACKENDS[:-1]
"""Those of OpenAI's API."""
BACKEND_ENTRY_POINTS = "gateway.assistants"
"""The group of entry points by which an installed package offers backends."""
QUOTES = frozenset("\"'`")
PAIR = 2
IN_QUOTES = "stands in quotes, which are taken for a part of it here; write it without them"
PLACEHOLDERS = ("...", "<", ">")
"""Of examples in documentation, which is copied."""
REQUEST_PATHS = ("/chat/completions", "/completions", "/responses", "/conversations", "/models", "/embeddings")
"""Ends of the addresses of single requests, which are copied for that of the API."""
NO_SERVER_URL = "must be the address of a server that begins with http:// or https://, such as https://example.com"


def clean_text(text: str) -> str:
    """Returns a value without space around it. Raises ValueError for what somebody wrote by mistake in any setting."""
    text = text.strip()
    if any("\ud800" <= char <= "\udfff" for char in text):  # so Python reads bytes that are no UTF-8
        raise ValueError("is not UTF-8 text; write it anew")
    control = next((char for char in text if char < " " and not char.isspace()), None)
    if control is not None:
        raise ValueError(f"contains {_name_of(control)}, a control character; write it anew")
    if _is_quoted(text):
        raise ValueError(IN_QUOTES)
    return text


def check_list(listed: str) -> None:
    """Raises ValueError for what somebody wrote by mistake in a setting that lists something with commas."""
    items = split_list(listed)
    if not items:
        raise ValueError("lists nothing; write what it is to list, or unset it")
    if any(map(_is_quoted, items)) or (listed.startswith("[") and listed.endswith("]")):
        raise ValueError("has quotes or brackets around what it lists; write the items alone, with commas between them")


def _is_quoted(text: str) -> bool:
    return text[:1] in {'"', "'"} and text.endswith(text[0]) and text.count(text[0]) == PAIR


def check_key(key: SecretStr) -> SecretStr:
    """Raises ValueError for what no key or token of a service contains."""
    text = key.get_secret_value().strip()
    reject_strange_characters(text)
    if " " in text:
        raise ValueError("contains a space, which no key does; copy the key again, and nothing else")
    if text[:1] in QUOTES or text[-1:] in QUOTES:
        raise ValueError(IN_QUOTES)
    if any(part in text for part in PLACEHOLDERS):
        raise ValueError("is shortened or a placeholder; copy the whole key")
    return SecretStr(text)


def reject_strange_characters(key: str) -> None:
    """Raises ValueError for what no HTTP header takes, such as the quotes and dots that editors make of others."""
    strange = next((char for char in key if not " " <= char <= "~"), None)
    if strange is not None:
        raise ValueError(f"contains {_name_of(strange)}, which no key does; copy the key again, and nothing else")


def check_own_key(key: SecretStr) -> SecretStr:
    """Does the same for a key, or a list of them, that the operator has thought of."""
    reject_strange_characters(key.get_secret_value())
    return key


def check_backend(name: str) -> str:
    """Returns the name of a backend as it is declared. Raises ValueError if no package offers it either."""
    own = spell_choice(name, BackendName)
    if own in BACKENDS:
        return str(own)
    names = [*BACKENDS, *(offer.name for offer in offers(BACKEND_ENTRY_POINTS))]
    if found := next((each for each in names if each.lower() == name.strip().lower()), None):
        return found
    raise ValueError(f"must be {', '.join(map(repr, names[:-1]))} or {names[-1]!r}")


Backend = Annotated[BackendName | str, AfterValidator(check_backend)]
JoinSeconds = Annotated[float, Field(ge=0, le=10)]
"""How long a message waits for the next one of the same act of its author."""
OwnKey = Annotated[SecretStr, AfterValidator(check_own_key)]
Key = Annotated[SecretStr, AfterValidator(check_key)]
"""A key or token that a service has issued. Space around it is left out."""


def reject_prefixes(key: SecretStr | None, belongs: Mapping[str, str]) -> SecretStr | None:
    """Raises ValueError for a token of another kind. ``belongs``: what to do with it, by how it begins."""
    for prefix, advice in belongs.items():
        if key is not None and key.get_secret_value().startswith(prefix):
            raise ValueError(f"begins with {prefix}: {advice}")
    return key


def check_time_zone(name: str) -> str:
    """Raises ValueError for a name that the time zone database does not have."""
    try:
        return ZoneInfo(name).key
    except (ValueError, KeyError, OSError) as exc:  # OSError: the name of a folder of zones, such as America
        raise ValueError("is no time zone; write an IANA name such as Europe/Berlin, or UTC") from exc


def split_server_url(url: str) -> SplitResult | None:
    """Returns the parts of the address of a server; None if it is none."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets, or of the port
        return None
    return parts if is_whole and not any(char.isspace() or char in QUOTES for char in url) else None


def check_server_url(url: str) -> str:
    """Raises ValueError for what is no address of a server."""
    if split_server_url(url := url.strip()) is None:
        raise ValueError(NO_SERVER_URL)
    return url


ServerUrl = Annotated[str, AfterValidator(check_server_url)]


def check_base_url(url: str | None) -> str | None:
    """Raises ValueError for what is no address of an API: also for that of one request."""
    if url is None:
        return None
    parts = urlsplit(check_server_url(url))
    for end in REQUEST_PATHS:
        if parts.path.rstrip("/").endswith(end):
            raise ValueError(f"ends with {end}, which is the address of one request; write what stands before it")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("has a user, or a query (?) or fragment (#) at its end; write it without them")
    return url.strip()


def split_list(listed: str) -> tuple[str, ...]:
    """Returns the items of a setting that lists them with commas, without space around them and without empty ones."""
    return tuple(part.strip() for part in listed.split(",") if part.strip())


def check_ids(listed: str, form: re.Pattern[str], such_as: str) -> str:
    """Raises ValueError for an item that does not have the form of an id, as nobody would ever have it."""
    if not all(map(form.fullmatch, split_list(listed))):
        raise ValueError(f"has an item that is no id; write ids such as {such_as}, with commas between them")
    return listed


def read_networks(listed: str) -> tuple[Network, ...]:
    """Returns networks and addresses that are listed with commas. Raises ValueError, which quotes a wrong one."""
    return tuple(map(ip_network, split_list(listed)))


def spell_choice(value: Any, annotation: Any) -> Any:
    """Returns one of the choices of a Literal as it is declared, for a value in capitals or small letters."""
    kinds = (annotation, *get_args(annotation))  # it may be one of a union
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if not isinstance(value, str):
        return value
    return next((choice for choice in choices if choice.lower() == value.strip().lower()), value)


def _name_of(char: str) -> str:
    if char in "\r\n":
        return "a line break"
    code = f"U+{ord(char):04X}"
    return f"{char} ({code}, {unicodedata.name(char)})" if char.isprintable() else code
