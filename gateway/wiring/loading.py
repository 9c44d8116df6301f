"""Reads all settings and ``gateway.toml``: for starting, for a reload, and for telling what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from adapters.discord.settings import DiscordSettings
from adapters.http import HttpSettings
from adapters.openai_api.settings import OpenAiApiSettings
from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway import logs
from gateway.admin import AdminSettings
from gateway.callbacks import CallbackSettings
from gateway.configuration import Configuration
from gateway.domain.errors import SettingsError
from gateway.handover import HandoverSettings
from gateway.handover.tool import NAME as HAND_OVER
from gateway.languages import LanguageSettings
from gateway.observability.tracing import TracingSettings
from gateway.platform_packages import FoundPlatform, find_platforms
from gateway.policy.prices import PriceSettings
from gateway.policy.rules import AdmissionSettings
from gateway.push import PushSettings
from gateway.settings import (
    AnySettings,
    EnvironmentSettings,
    Load,
    Settings,
    config_file,
    describe,
    given_variables,
)
from gateway.settings.names import unknown_names, wrong_names_in_file
from gateway.settings.platforms import PlatformSettings
from gateway.settings.toml_file import TomlFile
from gateway.tools import find_tools
from gateway.web import exposure
from gateway.web.chat_page_settings import ChatPageSettings
from gateway.web.metrics_endpoint import MetricsSettings

SETTINGS: Sequence[type[EnvironmentSettings]] = (
    *(Settings, HttpSettings, OpenAiApiSettings, SlackSettings, TelegramSettings, DiscordSettings),
    *(ChatPageSettings, AdminSettings),
    *(MetricsSettings, TracingSettings, PriceSettings, AdmissionSettings, PushSettings),
    *(CallbackSettings, HandoverSettings, LanguageSettings),
)
"""The gateway's own settings classes: those of ``settings_classes`` without packages."""

PLATFORM_SETTINGS: Mapping[str, type[EnvironmentSettings] | None] = {
    "http": HttpSettings,
    "openai": OpenAiApiSettings,
    "slack": SlackSettings,
    "telegram": TelegramSettings,
    "discord": DiscordSettings,
    "console": None,
}
"""The platforms that come with the gateway, also those that are not enabled."""

SettingsByClass = Mapping[type[EnvironmentSettings], EnvironmentSettings]
"""Settings of each class."""
AnyPlatform = TypeVar("AnyPlatform", bound=PlatformSettings)


def packaged_platforms() -> Mapping[str, FoundPlatform]:
    """Returns the platforms of installed packages, by name. Raises SettingsError."""
    return find_platforms(PLATFORM_SETTINGS)


def platform_settings() -> Mapping[str, type[EnvironmentSettings] | None]:
    """Returns the settings classes of all platforms, also of those that are not enabled. Raises SettingsError."""
    return {**PLATFORM_SETTINGS, **{name: each.package.settings for name, each in packaged_platforms().items()}}


def settings_classes() -> Sequence[type[EnvironmentSettings]]:
    """Returns all settings classes. Raises SettingsError."""
    return (*SETTINGS, *(each.package.settings for each in packaged_platforms().values()))


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that the environment and the file say."""

    settings: SettingsByClass
    """Each class as it is, without what tables of assistants and keys add to it."""
    configuration: Configuration
    file: TomlFile | None

    @property
    def core(self) -> Settings:
        """The core's settings, which are those of the default assistant."""
        return self.configuration.default.settings

    @property
    def is_behind_proxy(self) -> bool:
        """Whether the operator says that clients connect through a proxy."""
        return self.load(HttpSettings).trusted_proxies > 0

    def load(self, cls: type[AnySettings], /) -> AnySettings:
        """Returns the settings of a class as the function ``load`` does, but as they were read."""
        settings = _of(self.settings, cls)
        return settings if self.file is None else _with_tables_of(self.configuration, settings)

    def secrets(self) -> Iterator[str]:
        """Yields every secret value, for the log to mask."""
        for each in self.settings.values():
            yield from each.secrets()
        yield from self.configuration.secrets()
        if self.file is not None:
            yield from self.file.secrets()


def load(cls: type[AnySettings]) -> AnySettings:
    """Returns the settings of a class, with what other tables of the file say. Raises SettingsError."""
    return _with_tables(cls.load())


def _with_tables(settings: AnySettings) -> AnySettings:
    """Adds the default assistant's own values to the core's settings, and bound keys to those of ``/chat``."""
    if not isinstance(settings, Settings | HttpSettings) or (file := config_file()) is None:
        return settings
    return _with_tables_of(_read_configuration(file), settings)


def _with_tables_of(configuration: Configuration, settings: AnySettings) -> AnySettings:
    if isinstance(settings, HttpSettings):
        return settings.with_keys([each.key.get_secret_value() for each in configuration.keys])
    return cast("AnySettings", configuration.default.settings) if isinstance(settings, Settings) else settings


def load_bot(cls: type[AnyPlatform], name: str) -> AnyPlatform:
    """Returns the settings of the bot with this name; of the one without for "". Raises SettingsError."""
    if not name:
        return load(cls)
    bots = [bot.settings for bot in load_configuration(load(Settings)).bots if isinstance(bot.settings, cls)]
    if (found := next((each for each in bots if each.bot == name), None)) is None:
        known = ", ".join(each.bot for each in bots) or "none"
        raise SettingsError(f"gateway.toml describes no bot {name!r} of {cls.platform}. Those that it does: {known}.")
    return found


def load_configuration(settings: Settings) -> Configuration:
    """Returns what the environment and the file describe together. Raises SettingsError."""
    return Configuration.of(settings) if (file := config_file()) is None else _read_configuration(file)


def _read_configuration(file: TomlFile) -> Configuration:
    from gateway.config_file import read_configuration  # noqa: PLC0415  # not needed without a file

    names = {name.lower() for each in settings_classes() for name in each.variables()}
    return read_configuration(file, platform_settings(), names, _function_tools)


def _function_tools() -> Sequence[str]:
    return [*(each.tool.name for each in find_tools(Settings.load().tools_path)), HAND_OVER]


def load_settings(*, quiet: bool = False) -> Settings:
    """Returns the core's settings and configures logging. ``quiet``: warnings only, unless LOG_LEVEL is set.

    Raises SettingsError, also for errors in any other settings class.
    """
    return load_all(quiet=quiet).core


def load_all(*, quiet: bool = False) -> Loaded:
    """Returns all settings and what the file describes, and configures logging as ``load_settings`` does."""
    loaded = read_all()
    settings = loaded.core
    level = "WARNING" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    _configure_log(level, settings, loaded.secrets())
    return loaded


def read_all() -> Loaded:
    """Returns all settings and what the file describes. Raises SettingsError with a line for each thing wrong."""
    settings = {each: each.load() for each in settings_classes()}
    if wrong := [*_wrong_names(settings), *_unfit(settings)]:
        raise SettingsError("\n".join(wrong))
    configuration = load_configuration(_of(settings, Settings))
    if unknown := _wrong_assistants(settings, configuration):
        raise SettingsError("\n".join(unknown))
    return Loaded(settings, configuration, config_file())


def load_valid_settings() -> tuple[Load, Sequence[str]]:
    """Reads all settings, with defaults for what is wrong; also returns what is wrong. Configures logging.

    Raises SettingsError if nothing can be read.
    """
    read = {each: each.load_valid() for each in settings_classes()}
    settings = {cls: found for cls, (found, _) in read.items()}
    wrong = [line for _, lines in read.values() for line in lines]
    wrong += [*_wrong_names(settings), *_unfit(settings)]
    configuration, more = (None, ()) if wrong else _valid_configuration()
    if configuration is not None:
        more = _wrong_assistants(settings, configuration)
    loaded = Loaded(settings, configuration or Configuration.of(_of(settings, Settings)), config_file())
    _configure_log(loaded.core.log_level, loaded.core, loaded.secrets())
    return loaded.load, tuple(dict.fromkeys([*wrong, *more]))


def _of(settings: SettingsByClass, cls: type[AnySettings]) -> AnySettings:
    return cast("AnySettings", settings[cls])


def _unfit(settings: SettingsByClass) -> Sequence[str]:
    """Returns a line for each thing that does not fit to others of its class."""
    return (*_of(settings, CallbackSettings).problems(), *_of(settings, AdminSettings).problems())


def _valid_configuration() -> tuple[Configuration | None, Sequence[str]]:
    """Returns what is described; None, and a line for each thing that is wrong, if something is."""
    try:
        return load_configuration(Settings.load()), ()
    except SettingsError as exc:
        return None, str(exc).splitlines()


def _configure_log(level: str, settings: Settings, secrets: Iterator[str]) -> None:
    patterns = [pattern for each in settings_classes() for pattern in each.token_patterns]
    logs.configure(level, settings.log_format, secrets, patterns)


def _wrong_names(settings: SettingsByClass) -> Sequence[str]:
    rules = _of(settings, AdmissionSettings)
    misspelt = unknown_names(settings_classes(), given_variables().names).misspelt
    in_file = () if (file := config_file()) is None else wrong_names_in_file(settings_classes(), file)
    in_environment = (_misspelt(name, near) for name, near in misspelt.items())
    in_rules = (describe((setting,), what) for setting, what in rules.wrong_platforms(tuple(platform_settings())))
    return (*in_rules, *in_environment, *in_file)


def _wrong_assistants(settings: SettingsByClass, configuration: Configuration) -> Sequence[str]:
    rules = _of(settings, AdmissionSettings)
    return [describe((setting,), what) for setting, what in rules.wrong_assistants(tuple(configuration.assistants))]


def _misspelt(name: str, near: Sequence[str]) -> str:
    return f"{name} is no setting. If you mean {' or '.join(near)}, write that; else unset it."


def start_warnings(settings: Settings, load: Load = load) -> Sequence[str]:
    """Returns what to warn the operator of at start. Raises SettingsError."""
    unused = unknown_names(settings_classes(), given_variables().names).unused
    unknown = (f"set, but no settings of the gateway: {', '.join(unused)}",) if unused else ()
    http, passwords = load(HttpSettings), load(AdminSettings).passwords
    exposed = exposure.warnings(settings, http.keys, http.cors_origins, passwords, load(MetricsSettings).token)
    return (*unknown, *_removed_api(settings), *exposed)


def _removed_api(settings: Settings) -> Iterator[str]:
    """Yields a line where an assistant is named that its server cannot run any more."""
    if settings.assistant_id and settings.has_no_assistants_api and settings.backend != "threads":
        what = (
            f"OpenAI and Azure removed the Assistants API on 2026-08-26. The backend {settings.backend} answers, with "
            "ASSISTANT_INSTRUCTIONS and OPENAI_MODEL; copy what the assistant had into them. Programs at /v1 still "
            "find it by this id."
        )
        yield describe(("assistant_id", "asst_id"), what)
