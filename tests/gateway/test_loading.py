"""A gateway is made from what was read once, at its start."""

from __future__ import annotations

from pathlib import Path

from gateway.app import open_gateway
from gateway.configuration import CurrentConfiguration
from gateway.wiring import loading
from gateway.wiring.platforms import enabled_platforms
from storage.store import SqlStore
from tests.gateway.settings.test_settings_file import folder, write

__all__ = ["folder"]

TEXT = """
[settings]
openai_api_key = "sk-test"
openai_model = "gpt-test"
gateway_api_keys = ["key-of-all"]
[assistants.other]
model = "gpt-other"
[[keys]]
name = "shop"
key = "key-of-shop"
assistants = ["other"]
"""


def test_a_gateway_starts_from_what_was_read_once(folder: Path, sqlite_url: str) -> None:
    write(folder, TEXT)
    loaded = loading.read_all()
    read_again = {each: loading.load(each) for each in loading.settings_classes()}
    assert {each: loaded.load(each) for each in read_again} == read_again
    write(folder, "no file of settings any more")
    store, current = SqlStore(sqlite_url), CurrentConfiguration(loaded.configuration)
    adapters = enabled_platforms(loaded.core, store, current, loaded.load)
    gateway = open_gateway(loaded.core, adapters, store, current=current, load=loaded.load)
    gateway.web()
    gateway.close(0.0)
