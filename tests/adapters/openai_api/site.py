"""A gateway that serves OpenAI's API on a socket, a fake server behind it, and OpenAI's own SDK in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai import AzureOpenAI, DefaultHttpxClient, OpenAI

from adapters.openai_api.adapter import OpenAiAdapter
from gateway.settings import Settings
from gateway.wiring.running_gateway import Gateway
from tests.adapters.openai_api.openapi.answers import check_answer
from tests.fakes.openai_server import FakeOpenAI
from tests.gateway.served_gateway import run_gateway, serve_gateway

IGNORED_WARNINGS = "ignore::DeprecationWarning"
"""The SDK's own, of each call of the Assistants API."""


@dataclass
class ApiSite:
    """``base_url``: of the gateway, without a path."""

    base_url: str
    fake: FakeOpenAI
    gateway: Gateway
    adapter: OpenAiAdapter
    key: str
    clients: list[Any] = field(default_factory=list)

    def client(self, key: str | None = None, **options: Any) -> OpenAI:
        """Returns OpenAI's SDK as it comes, but for that every answer is checked against its types, and against the
        published description of the API.
        """
        address = f"{self.base_url}/v1"
        given = {"max_retries": 0, "http_client": checking_client(), **options}
        made = OpenAI(base_url=address, api_key=key or self.key, _strict_response_validation=True, **given)
        self.clients.append(made)
        return made

    def azure(self, key: str | None = None) -> AzureOpenAI:
        made = AzureOpenAI(
            azure_endpoint=self.base_url,
            api_key=key or self.key,
            api_version="2024-05-01-preview",
            max_retries=0,
            http_client=checking_client(),
            _strict_response_validation=True,
        )
        self.clients.append(made)
        return made


def checking_client(**options: Any) -> DefaultHttpxClient:
    """Returns a client without certificates: loopback needs none, and loading them takes 50 ms."""
    return DefaultHttpxClient(event_hooks={"response": [check_answer]}, verify=False, **options)


@contextmanager
def open_api(
    database_url: str, *, keys: str = "key-one, key-two", folder: Path | None = None, **environment: str
) -> Iterator[ApiSite]:
    """Runs a gateway, by default with the backend ``chat``, configured by ``environment`` only.

    ``folder``: where it runs, for a database that is no file.
    """
    with FakeOpenAI() as fake, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder or Path(database_url.removeprefix("sqlite:///")).parent)  # away from any .env
        given = {
            "ASSISTANT_BACKEND": "chat",
            "DATABASE_URL": database_url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": fake.base_url,
            **({"GATEWAY_API_KEYS": keys} if keys else {}),
            **environment,
        }
        patch.delenv("GATEWAY_API_KEYS", raising=False)  # that of another gateway of the same process
        for name, value in given.items():
            patch.setenv(name, value)
        with run_gateway(Settings.load()) as gateway, serve_gateway(gateway) as url:
            (adapter,) = (each for each in gateway.adapters if isinstance(each, OpenAiAdapter))
            site = ApiSite(url, fake, gateway, adapter, keys.split(",", maxsplit=1)[0].strip() or "any")
            yield site
            for client in site.clients:
                client.close()
