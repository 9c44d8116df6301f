"""The table [settings] of gateway.toml: below the environment, and wrong values with their lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway.domain.errors import SettingsError
from gateway.policy.rules import AdmissionSettings
from gateway.settings import Settings
from gateway.wiring import loading


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for each in loading.SETTINGS:
        for name in each.variables():
            monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(folder: Path, text: str, name: str = "gateway.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_any_setting_is_read_from_the_file_as_from_the_environment(folder: Path) -> None:
    write(
        folder,
        """
        [settings]
        port = 9000
        assistant_show_reasoning = true
        max_turn_cost = 0.5
        openai_tools = ["web_search", "file_search"]
        slack_prompts = ["Hello: Say hello", "Bye"]
        telegram_allowed_chats = -100123
        budget_user_day = ["1", "http=5"]
        """,
    )
    settings = Settings.load()
    assert (settings.port, settings.assistant_show_reasoning, settings.max_turn_cost) == (9000, True, 0.5)
    assert settings.openai_tools == "web_search,file_search"
    assert SlackSettings.load().prompts == (("Hello", "Say hello"), ("Bye", "Bye"))
    assert TelegramSettings.load().allowed_chats == {"-100123"}
    assert AdmissionSettings.load().budget_user_day == "1,http=5"


@pytest.mark.parametrize(
    ("source", "name"), [("environment", "assistant_id"), ("named file", "asst_id"), (".env", "assistant_id")]
)
def test_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str) -> None:
    write(folder, f'[settings]\n{name} = "of the file"\n')
    assert Settings.load().assistant_id == "of the file"
    if source == ".env":
        write(folder, "ASST_ID=other\n", ".env")
    elif source == "named file":
        monkeypatch.setenv("ASST_ID_FILE", str(write(folder, "other\n", "secret")))
    else:
        monkeypatch.setenv("ASST_ID", "other")
    assert Settings.load().assistant_id == "other"


def test_the_file_may_be_anywhere_and_must_be_there_if_it_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", str(folder / "etc.toml"))
    with pytest.raises(SettingsError, match=r"GATEWAY_CONFIG: there is no file .*etc\.toml\. Create it"):
        Settings.load()
    monkeypatch.setenv("GATEWAY_CONFIG", "~nobody-has-this-name/etc.toml")
    with pytest.raises(SettingsError, match=r"GATEWAY_CONFIG: there is no file .*nobody-has-this-name"):
        Settings.load()
    monkeypatch.setenv("GATEWAY_CONFIG", str(folder / "etc.toml"))
    write(folder, "[settings]\nport = 9001\n", "etc.toml")
    write(folder, "[settings]\nport = 9002\n")
    assert Settings.load().port == 9001


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_file_that_is_a_folder_or_a_link_to_nothing_is_refused(folder: Path, *, is_folder: bool) -> None:
    path = folder / "gateway.toml"
    if is_folder:
        path.mkdir()
    else:
        path.symlink_to(folder / "nowhere.toml")
    with pytest.raises(SettingsError, match=r"gateway\.toml cannot be read: "):
        Settings.load()


def test_values_of_the_environment_are_filled_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, '[settings]\nopenai_api_key = "sk-${PART}"\nopenai_model = "${MODEL}"\nopenai_base_url="${URL}"\n')
    monkeypatch.setenv("PART", "1234")
    monkeypatch.setenv("MODEL_FILE", str(write(folder, "m\n", "model")))
    write(folder, "URL=http://localhost:1/v1\n", ".env")
    settings = Settings.load()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-1234"
    assert (settings.openai_model, settings.openai_base_url) == ("m", "http://localhost:1/v1")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("port = 99999", "settings.port: must be less than or equal to 65535."),
        ("port = 'sk-oops'", "settings.port: must be a whole number, in digits alone."),
        ("port = [1]", "settings.port: must be text, a number, true or false."),
        ("retention_days = 'often'", "settings.retention_days: must be a number, such as 2 or 0.5."),
        ("assistant_show_reasoning = 'maybe'", "settings.assistant_show_reasoning: must be true or false."),
        (f"web_chat_title = '{'x' * 61}'", "settings.web_chat_title: must have at most 60 characters."),
        ("web_threads = 0", "settings.web_threads: must be greater than 0."),
        ("openai_tools = ['a,b']", "settings.openai_tools: must be a list of texts without ',' in them."),
        ("openai_model = { a = 1 }", "settings.openai_model: must be text, a number, true or false."),
        ("log_level = 1979-05-27", "settings.log_level: must be text, a number, true or false."),
        ("allowed = 'htpt:a'", "settings.allowed: there is no platform 'htpt'; write one of http, "),
        ("openai_modle = 'm'", "settings.openai_modle: is no setting. Do you mean openai_model?"),
        ("OPENAI_MODEL = 'm'", "settings.OPENAI_MODEL: is no setting. Do you mean openai_model?"),
        ("prometheus_multiproc_dir = '/tmp'", "settings.prometheus_multiproc_dir: can only be set in the environment."),
    ],
)
def test_what_is_wrong_has_its_line_and_shows_no_value(folder: Path, line: str, wrong: str) -> None:
    write(folder, f"[settings]\n\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        loading.load_settings()
    assert f"gateway.toml, line 3: {wrong}" in str(caught.value)
    assert "oops" not in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_an_error_in_the_environment_is_not_looked_for_in_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "[settings]\nport = 1\n")
    monkeypatch.setenv("PORT", "many")
    with pytest.raises(SettingsError, match=r"^PORT: "):
        Settings.load()


def test_settings_that_are_no_table_are_refused(folder: Path) -> None:
    write(folder, "settings = 1\n")
    with pytest.raises(SettingsError, match=r"line 1: settings: must be a table"):
        loading.load_settings()


def test_every_list_may_be_an_array() -> None:
    for each in loading.SETTINGS:
        told = {name: field.description or "" for name, field in each.model_fields.items()}
        commas = {name for name, text in told.items() if re.search("[Cc]omma-\\s*separated|with commas", text)}
        assert commas <= each.lists.keys(), each
        assert each.lists.keys() <= told.keys(), each
