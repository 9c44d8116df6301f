"""Settings: their sources, what they mean, and how wrong ones are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.domain.errors import SettingsError
from gateway.settings import Settings
from gateway.wiring import loading

KEY = {"openai_api_key": "sk-1"}
AZURE = {
    "azure_openai_api_key": "key",
    "azure_openai_endpoint": "https://r.openai.azure.com",
    "azure_openai_api_version": "2025-05-01",
}


@pytest.fixture(autouse=True)
def clear_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*Settings.model_fields, "asst_id"):
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("given", "backend"),
    [
        ({}, "offline"),
        (KEY, "responses"),
        ({**KEY, "openai_base_url": "https://api.openai.com/v1"}, "responses"),
        ({"openai_base_url": "http://localhost:11434/v1"}, "chat"),
        (AZURE, "chat"),
        ({"openai_base_url": "http://localhost:11434/v1", "assistant_id": "asst_1"}, "threads"),
        ({**AZURE, "azure_openai_endpoint": "http://localhost:8000", "assistant_id": "asst_1"}, "threads"),
        # OpenAI and Azure have no Assistants API any more.
        ({**KEY, "assistant_id": "asst_1"}, "responses"),
        ({**KEY, "openai_base_url": "https://api.openai.com/v1", "assistant_id": "asst_1"}, "responses"),
        ({**AZURE, "assistant_id": "asst_1"}, "chat"),
        ({**KEY, "assistant_id": "asst_1", "assistant_backend": "threads"}, "threads"),
    ],
)
def test_the_backend_follows_from_what_is_set(given: dict[str, Any], backend: str) -> None:
    assert Settings(**given).backend == backend


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ()),
        (KEY, ()),
        ({"assistant_backend": "responses"}, ("OPENAI_API_KEY",)),
        ({"openai_base_url": "http://localhost:1/v1"}, ("OPENAI_MODEL",)),
        ({"azure_openai_api_key": "k"}, ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_VERSION", "OPENAI_MODEL")),
        ({**AZURE, "assistant_id": "asst_1"}, ("OPENAI_MODEL",)),
        ({**KEY, "assistant_backend": "threads"}, ("ASST_ID (or OPENAI_MODEL)",)),
    ],
)
def test_what_is_missing_is_named(given: dict[str, Any], missing: tuple[str, ...]) -> None:
    assert Settings(**given).missing() == missing


def test_the_environment_wins_over_a_file_and_that_over_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_MODEL=dotenv\n")
    assert Settings.load().openai_model == "dotenv"
    (tmp_path / "model").write_text("file\n")
    monkeypatch.setenv("OPENAI_MODEL_FILE", str(tmp_path / "model"))
    assert Settings.load().openai_model == "file"
    monkeypatch.setenv("OPENAI_MODEL", "environment")
    assert Settings.load().openai_model == "environment"


@pytest.mark.parametrize("name", ["ASST_ID", "ASSISTANT_ID"])
def test_the_assistant_has_two_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv(name, "asst_7")
    assert Settings.load().assistant_id == "asst_7"
    monkeypatch.delenv(name)
    (tmp_path / "id").write_text("asst_8")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "id"))
    assert Settings.load().assistant_id == "asst_8"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("PORT", "")
    settings = Settings.load()
    assert (settings.backend, settings.port) == ("offline", 8080)


def test_everything_that_is_wrong_is_named_and_no_value_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "sk-oops")
    monkeypatch.setenv("ASSISTANT_BACKEND", "sk-oops")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "PORT: " in str(caught.value)
    assert "ASSISTANT_BACKEND: " in str(caught.value)
    assert "sk-oops" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"OPENAI_API_KEY_FILE names .* it is not UTF-8 text"):
        Settings.load()


@pytest.mark.parametrize("content", ["", " \n", "\ufeff"])
def test_a_file_that_is_empty_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content, encoding="utf-8")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"OPENAI_API_KEY_FILE names .*key, which is empty; write the value"):
        Settings.load()


def test_secrets_do_not_show() -> None:
    given: dict[str, Any] = {**AZURE, "openai_api_key": "sk-secret"}
    settings = Settings(**given)
    assert "sk-secret" not in repr(settings)
    assert set(settings.secrets()) == {"sk-secret", "key"}


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({}, "gpt-4o-mini-transcribe"),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1"}, "gpt-4o-mini-transcribe"),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, ""),
        ({"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"}, ""),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1", "OPENAI_TRANSCRIPTION_MODEL": "whisper-1"}, "whisper-1"),
    ],
)
def test_recordings_are_transcribed_where_there_is_a_model_for_it(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], model: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().transcription_model == model


@pytest.mark.parametrize("zone", ["Europe/Berlim", "America", "../etc/passwd", "/etc/passwd", "+02:00"])
def test_a_time_zone_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("ASSISTANT_TIME_ZONE", "Europe/Berlin")
    assert Settings.load().assistant_time_zone == "Europe/Berlin"
    monkeypatch.setenv("ASSISTANT_TIME_ZONE", zone)
    with pytest.raises(SettingsError, match="ASSISTANT_TIME_ZONE: is no time zone; write an IANA name"):
        Settings.load()


def test_a_spool_folder_that_cannot_be_written_to_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPOOL_FOLDER", str(tmp_path))
    assert Settings.load().spool_folder == str(tmp_path)
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file"):
        monkeypatch.setenv("SPOOL_FOLDER", str(wrong))
        with pytest.raises(SettingsError, match="SPOOL_FOLDER: names a folder that does not exist"):
            Settings.load()


NUMBERS = {
    setting.upper(): cls
    for cls in loading.SETTINGS
    for setting, field in cls.model_fields.items()
    if {int, float} & {field.annotation, *get_args(field.annotation)}
}


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e308", "9" * 30])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_accepted_with_which_nothing_can_be_reckoned(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        NUMBERS[name].load()


def test_a_folder_that_cannot_be_looked_at_is_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOOL_FOLDER", "/tmp/" + "a" * 300)
    with pytest.raises(SettingsError, match=r"^SPOOL_FOLDER: names a folder that does not exist"):
        Settings.load()
