"""What is said of a ``.env`` file that cannot be parsed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.domain.errors import SettingsError
from gateway.settings import Settings
from gateway.settings.dotenv_file import check_file

FINE = "A=1\n# note\nexport B=\"two\nlines\"\nC='#' # note\nD=\nE\n\n"


def said_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        check_file(path)
    return str(caught.value).replace(str(path), ".env")


@pytest.mark.parametrize("content", [FINE.encode(), b"\xef\xbb\xbf" + FINE.encode(), b""])
def test_a_file_that_can_be_parsed_is_fine(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    check_file(tmp_path / ".env")


def test_there_may_be_no_file(tmp_path: Path) -> None:
    check_file(tmp_path / ".env")


def test_a_folder_of_another_use_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".env" / "bin").mkdir(parents=True)
    check_file(tmp_path / ".env")


def test_what_stands_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name, what in [("folder", "is an empty folder"), ("link", "is a link to a file that does not exist")]:
        with pytest.raises(SettingsError, match=f"{name} {what}"):
            check_file(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_powershell_is_named(tmp_path: Path, encoding: str) -> None:
    said = said_of(tmp_path / ".env", f"\ufeff{FINE}".removeprefix("\ufeff" * (encoding == "utf-16")).encode(encoding))
    assert said == ".env cannot be read: it is UTF-16 text; save the file as UTF-8."


def test_a_line_in_another_encoding_is_named(tmp_path: Path) -> None:
    assert "line 2 is not UTF-8 text" in said_of(tmp_path / ".env", b"A=1\nB=caf\xe9\n")


@pytest.mark.parametrize(
    ("content", "line", "advice"),
    [
        ("\n# c\nKEY: secret\n", 3, "write KEY=value"),
        ("KEY secret\n", 1, "write KEY=value"),
        ('A=1\n\nKEY="secret\nB=2\n', 3, "a quote is not closed"),
        ('KEY="secret\nB="2"\n', 1, "a quote is not closed"),
        ("KEY='secret' more\n", 1, "a quote is not closed, or text follows it"),
    ],
)
def test_a_line_that_cannot_be_parsed_is_named_without_what_it_says(
    tmp_path: Path, content: str, line: int, advice: str
) -> None:
    said = said_of(tmp_path / ".env", content.encode())
    assert f".env, line {line}, cannot be parsed: {advice}" in said
    assert "secret" not in said


def test_each_line_is_named(tmp_path: Path) -> None:
    said = said_of(tmp_path / ".env", b"A: 1\nB=2\nC: 3\n")
    assert [line.split(",")[1] for line in said.splitlines()] == [" line 1", " line 3"]


def test_settings_are_not_read_past_such_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("KEY: value\nOPENAI_MODEL=m\n")
    for load in (Settings.load, Settings.load_valid):
        with caplog.at_level(logging.DEBUG), pytest.raises(SettingsError, match=r"\.env, line 1"):
            load()
    assert caplog.records == []  # the parser's own warning, once for each class of settings


def test_what_windows_writes_before_the_first_name_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_MODEL=m\n")
    assert Settings.load().openai_model == "m"
