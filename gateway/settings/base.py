"""The base class of all settings. Nothing else reads the environment.

A variable is read from the environment, the file that ``<NAME>_FILE`` names, ``.env``, or the table ``[settings]`` of
``gateway.toml``, in this order. An empty variable counts as unset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

from pydantic import AliasChoices, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from gateway.domain.errors import SettingsError
from gateway.settings import dotenv_file
from gateway.settings.sources import TABLE, FileSource, TomlSource, Unreadable, Variables, find_config_file, values_of
from gateway.settings.text_file import ENCODING
from gateway.settings.toml_file import TomlFile
from gateway.settings.values import check_list, clean_text, spell_choice
from gateway.settings.wording import what_is_wrong

ENV_FILE = ".env"
MOST: Mapping[type[Any], int] = {int: 10**15, float: 10**9}
"""By the type of a setting. A float is an amount of money or a time, if only in seconds."""
SECONDS_OF = {"minutes": 60, "hours": 3600, "days": 86_400}
"""By how the names of times end."""
MOST_SECONDS = 10**10
"""Of those times: 300 years, after which there is still a date."""
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set counts: pubs.opengroup.org/onlinepubs/9799919799, 8.2 Internationalization Variables"""


class TokenPattern(NamedTuple):
    """What a platform's tokens look like, so that the log also masks those that no setting holds."""

    hint: str
    """A string that every such token contains, which is much cheaper to look for than the pattern."""
    pattern: re.Pattern[str]
    replacement: str = "***"


class SetupGuide(NamedTuple):
    """What ``init`` asks for to set up a platform."""

    platform: str
    """The adapter's name."""
    title: str
    steps: str
    """Where the values come from."""
    fields: tuple[str, ...]
    """The settings to ask for, in this order."""


class EnvironmentSettings(BaseSettings):
    """Base of settings: subclass it next to what it configures and call ``load``."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=ENCODING,
        allow_inf_nan=False,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    token_patterns: ClassVar[tuple[TokenPattern, ...]] = ()
    """Tokens that the log must mask wherever they appear; ``loading.load_settings`` passes them on."""
    prefixes: ClassVar[tuple[str, ...]] = ()
    """What the variables begin with, where those of other programs do not: see ``settings.names``."""
    foreign_variables: ClassVar[frozenset[str]] = frozenset()
    """Variables that begin so and are read by the vendor's own libraries."""
    lists: ClassVar[Mapping[str, str]] = {}
    """Settings that are lists, with what stands between the items: in ``gateway.toml`` they may be arrays."""
    environment_only: ClassVar[frozenset[str]] = frozenset()
    """Settings that ``gateway.toml`` cannot hold."""
    setup_guide: ClassVar[SetupGuide | None] = None
    """How ``init`` sets up the platform; None: it does not."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # a folder of secrets: not supported
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = init_settings, env_settings, FileSource(settings_cls), dotenv_settings
        if (file := find_config_file(_variables_of(env_settings, dotenv_settings))) is None:
            return sources
        return (*sources, TomlSource(settings_cls, values_of(file, cls.lists)))

    @field_validator("*", mode="before")
    @classmethod
    def _read_value(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Unreadable):
            raise ValueError(value.reason)  # noqa: TRY004  # of the setting
        name = info.field_name or ""
        field = cls.model_fields[name]
        if isinstance(value, str) and value != field.default:  # defaults are validated too
            value = clean_text(value)
            if not value and field.annotation is not str:
                raise ValueError("is blank; write a value, or unset it")
            if cls.lists.get(name) == ",":
                check_list(value)
        return spell_choice(value, field.annotation)

    @field_validator("*", mode="after")
    @classmethod
    def _has_a_use(cls, value: Any, info: ValidationInfo) -> Any:
        """Raises ValueError for a number with which no time can be reckoned, or that no database takes."""
        unit = SECONDS_OF.get((info.field_name or "").rpartition("_")[2])
        most = MOST.get(type(value)) if unit is None else MOST_SECONDS // unit
        if most is not None and value is not None and value > most:
            raise ValueError(f"is too large; it can be {most:,} at most")
        return value

    @classmethod
    def load(cls, **given: str | None) -> Self:
        """Reads the settings. Raises SettingsError, which names each wrong variable without its value.

        ``given``: values by field, which win over those of the environment.
        """
        dotenv_file.check_file(Path(ENV_FILE))
        try:
            return cls(**given)
        except SourceError as exc:
            raise SettingsError(str(exc)) from None
        except ValidationError as exc:
            raise SettingsError("\n".join(cls.describe_errors(exc))) from None

    @classmethod
    def load_valid(cls) -> tuple[Self, Sequence[str]]:
        """Reads what can be read, with defaults for what is wrong; also returns a line for each wrong variable.

        Raises SettingsError where nothing can be read.
        """
        dotenv_file.check_file(Path(ENV_FILE))
        try:
            return cls(), ()
        except ValidationError as exc:
            lines = cls.describe_errors(exc)
            wrong = {name for name, _ in wrong_values(exc)}
        defaults = {name: field.default for name, field in cls.model_fields.items() if wrong & {*cls.names_of(name)}}
        return cls(**defaults), lines

    @classmethod
    def describe_errors(cls, error: ValidationError) -> Sequence[str]:
        """Returns a line for each wrong value of the environment or a file; it shows no value."""
        return [describe(cls.names_of(name) or ("the settings",), what) for name, what in wrong_values(error)]

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Returns the names of all variables that these settings are read from, in capitals and without ``_FILE``."""
        return frozenset(variable.upper() for name in cls.model_fields for variable in cls.names_of(name))

    @classmethod
    def names_of(cls, name: str) -> Sequence[str]:
        """Returns all names of a setting, in small letters; nothing for what is none."""
        if (field := cls.model_fields.get(name)) is None:
            return ()
        alias = field.validation_alias
        return [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [name]

    @property
    def on(self) -> bool:
        """Whether what they configure is switched on. Raises SettingsError if only part of what it needs is set."""
        return True

    def secrets(self) -> tuple[str, ...]:
        """Returns every secret value in these settings, for the log to mask."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


AnySettings = TypeVar("AnySettings", bound=EnvironmentSettings)


class Load(Protocol):
    """Returns the settings of a class, from wherever a process has them."""

    def __call__(self, cls: type[AnySettings], /) -> AnySettings: ...


def wrong_values(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yields the name of each wrong setting, in small letters, and what is wrong, without the value."""
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(each["loc"][0]).lower() if each["loc"] else ""
        yield name, what_is_wrong(each)


def given_variables() -> Variables:
    """Returns the variables that are set, in the environment or in ``.env``."""
    return _variables_of(EnvSettingsSource(EnvironmentSettings), DotEnvSettingsSource(EnvironmentSettings))


def config_file() -> TomlFile | None:
    """Reads ``gateway.toml``, or the file that ``GATEWAY_CONFIG`` names. Raises SettingsError."""
    dotenv_file.check_file(Path(ENV_FILE))
    return find_config_file(given_variables())


def _variables_of(environment: PydanticBaseSettingsSource, dotenv: PydanticBaseSettingsSource) -> Variables:
    sources = [source.env_vars for source in (environment, dotenv) if isinstance(source, EnvSettingsSource)]
    return Variables(*sources)


def describe(names: Sequence[str], what: str) -> str:
    """Returns a line about a setting with these names: with its place, if its value comes from a file."""
    given = given_variables()
    outside = [name for name in names if given.sets(name)]
    if not outside and (file := find_config_file(given)) is not None:
        for name in file.data.get(TABLE, {}).keys() & names:
            return file.error((TABLE, name), what)
    return f"{(*outside, names[0])[0].upper()}: {what}"


def environment_variables() -> frozenset[str]:
    """Returns the names of those that the environment itself sets, which win over ``.env``."""
    return frozenset(name.upper() for name, value in EnvSettingsSource(EnvironmentSettings).env_vars.items() if value)


def terminal_locales() -> Sequence[str]:
    """Returns the locales that a person's terminal asks for, the most wanted first; none where it asks for none.

    www.gnu.org/software/gettext/manual/html_node/The-LANGUAGE-variable.html
    """
    given = os.environ  # noqa: TID251  # other programs' variables, and no settings
    locale = next((value for name in LOCALE_VARIABLES if (value := given.get(name))), "C")
    if locale.partition(".")[0] in {"C", "POSIX"}:
        return ()
    return (*filter(None, given.get("LANGUAGE", "").split(":")), locale)
