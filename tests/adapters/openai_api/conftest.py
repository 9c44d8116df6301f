"""One gateway for the tests of a module; each test makes threads of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.adapters.openai_api.site import ApiSite, open_api


@pytest.fixture(scope="module")
def site(sqlite_module_url: str) -> Iterator[ApiSite]:
    with open_api(sqlite_module_url, ASST_ID="asst_old") as opened:
        yield opened


@pytest.fixture(scope="module")
def client(site: ApiSite) -> OpenAI:
    return site.client()
