"""The table of settings: complete, without secrets, and the same in the README as generated."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner
from pydantic import AliasChoices, Field, SecretStr

from gateway.cli.settings_table import BEGIN, END, command, replace_table, settings_table
from gateway.settings import EnvironmentSettings
from gateway.wiring.loading import SETTINGS

README = Path(__file__).parents[3] / "gateway" / "README.md"


class PigeonSettings(EnvironmentSettings):
    """Settings of pigeons.

    More about them.
    """

    pigeon_key: SecretStr | None = SecretStr("sk-secret")
    """Opens the ``coop``."""
    pigeon_mode: Literal["fly", "walk"] | None = "fly"
    """How they travel, by ``fly | walk``."""
    pigeon_name: str = Field("", validation_alias=AliasChoices("pigeon_name", "bird_name"))
    """What it is
    called."""
    pigeon_hours: float = 12.0
    """Hours awake."""
    pigeon_paid: bool = True
    """Whether they are paid."""


TABLE = """### Settings of pigeons

| variable | default | meaning |
|---|---|---|
| `PIGEON_KEY` |  | Opens the `coop`. |
| `PIGEON_MODE` | `fly` | How they travel, by `fly \\| walk`. One of `fly`, `walk`. |
| `PIGEON_NAME` or `BIRD_NAME` |  | What it is called. |
| `PIGEON_HOURS` | `12` | Hours awake. |
| `PIGEON_PAID` | `true` | Whether they are paid. |
"""


def test_a_class_becomes_a_table() -> None:
    assert settings_table([PigeonSettings]) == TABLE


def test_a_variable_of_two_classes_is_listed_once() -> None:
    class FeederSettings(EnvironmentSettings):
        """Settings of feeders."""

        pigeon_hours: float = 6.0
        """Hours open."""
        feeder_grain: str = "oats"
        """What is in it."""

    added = settings_table([PigeonSettings, FeederSettings]).removeprefix(TABLE)
    assert "`FEEDER_GRAIN` | `oats`" in added
    assert "PIGEON_HOURS" not in added


def test_every_class_and_every_setting_has_a_docstring() -> None:
    assert [cls.__name__ for cls in SETTINGS if not cls.__dict__.get("__doc__")] == []
    fields = [(f"{cls.__name__}.{name}", field) for cls in SETTINGS for name, field in cls.model_fields.items()]
    assert [name for name, field in fields if not field.description] == []


def test_the_readme_has_the_generated_table() -> None:
    readme = README.read_text("utf-8")
    assert readme == replace_table(readme, settings_table(SETTINGS)), "run: make settings"


def test_the_command_prints_or_replaces_the_table(tmp_path: Path) -> None:
    settings, file = command(lambda: [PigeonSettings]), tmp_path / "README.md"
    assert CliRunner().invoke(settings).output == TABLE
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert CliRunner().invoke(settings, ["--write", str(file)]).exit_code == 0
    assert file.read_text() == f"before\n{BEGIN}\n\n{TABLE}\n{END}\nafter\n"


def test_a_file_without_markers_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("nothing here\n")
    result = CliRunner().invoke(command(lambda: [PigeonSettings]), ["--write", str(file)])
    assert (result.exit_code, file.read_text()) == (1, "nothing here\n")
    assert "no table to replace" in result.output


def test_replacing_demands_both_markers() -> None:
    with pytest.raises(ValueError, match="no table to replace"):
        replace_table(f"{BEGIN}\n", TABLE)
