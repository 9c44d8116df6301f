"""Says what a gateway is at start: who reaches it, who may use it, where its data is. ``check`` says the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.http import HttpSettings
from gateway.admin import AdminSettings
from gateway.domain.command_lines import gateway_command
from gateway.ports.check import CheckResult
from gateway.settings import Load, Settings

LEAVE_OFFLINE = "for an assistant with a model, set OPENAI_API_KEY and leave ASSISTANT_BACKEND=offline out"


def start_facts(load: Load, platforms: Sequence[str], location: str, url: str = "") -> Iterator[CheckResult]:
    """Yields the facts, all of which are well.

    ``location``: of the data; empty where none can be opened. ``url``: where it listens, if it does.
    """
    yield CheckResult("platforms", ok=True, detail=", ".join(platforms))
    yield CheckResult("open to", ok=True, detail=_who_may_talk(load(HttpSettings)))
    yield CheckResult("operator", ok=True, detail=_where_admin_is(load(AdminSettings), url))
    if location:
        yield CheckResult("data", ok=True, detail=location)
    settings = load(Settings)
    if settings.assistant_backend == "offline":
        yield CheckResult("next", ok=True, detail=LEAVE_OFFLINE)
    elif settings.backend == "offline":
        yield CheckResult("next", ok=True, detail=f"{gateway_command('init')} asks for an assistant and for platforms")


def example_request(load: Load, url: str) -> str:
    """Returns a command that says something to the gateway."""
    key = " -H 'Authorization: Bearer A_KEY_OF_GATEWAY_API_KEYS'" if load(HttpSettings).keys else ""
    return f"""curl {url}/chat{key} -H 'Content-Type: application/json' -d '{{"message": "Hello!"}}'"""


def _who_may_talk(settings: HttpSettings) -> str:
    if settings.keys:
        return "holders of GATEWAY_API_KEYS: /chat and the page"
    return "everybody who reaches the port: /chat and the page (GATEWAY_API_KEYS closes them)"


def _where_admin_is(settings: AdminSettings, url: str) -> str:
    if not settings.enabled:
        return "off, as ADMIN_PASSWORD is not set"
    if settings.oidc is None and settings.proxy is None:
        return f"{url}/admin"
    ways = [*settings.passwords]
    if settings.oidc is not None:
        ways.append(f"an account at {settings.oidc.issuer}")
    if settings.proxy is not None:
        ways.append(f"{settings.proxy.header} from {settings.admin_proxy_addresses}")
    everybody = "; everybody there may" if settings.role_lists.has_everybody else ""
    return f"{url}/admin, with {' or '.join(ways)}{everybody}"
