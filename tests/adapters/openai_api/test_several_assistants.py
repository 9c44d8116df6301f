"""The assistants of gateway.toml are the models of OpenAI's API."""

from __future__ import annotations

from pathlib import Path

from tests.adapters.openai_api.site import open_api

CONFIGURATION = """
[assistants.default]
model = "gpt-one"

[assistants.support]
model = "gpt-two"
aliases = ["asst_old"]
"""


def test_a_model_is_an_assistant_by_its_name_or_alias(tmp_path: Path, sqlite_url: str) -> None:
    configuration = tmp_path / "gateway.toml"
    configuration.write_text(CONFIGURATION)
    with open_api(sqlite_url, GATEWAY_CONFIG=str(configuration), OPENAI_MODEL="") as site:
        client = site.client()
        assert [model.id for model in client.models.list()] == ["default", "support"]
        for name, model in (("default", "gpt-one"), ("support", "gpt-two"), ("asst_old", "gpt-two")):
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hello"}])
            client.responses.create(model=name, input="Hello")
            assert {each.body["model"] for each in site.fake.requests[-2:]} == {model}
