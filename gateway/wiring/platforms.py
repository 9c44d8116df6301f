"""Builds the adapter of each platform that the settings enable, and of each further bot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from adapters.base.features import BotFeatures
from adapters.discord.settings import DiscordSettings
from adapters.http import HttpAdapter, HttpSettings
from adapters.openai_api.adapter import OpenAiAdapter
from adapters.openai_api.callers import Callers
from adapters.openai_api.context import ApiLimits, KeptObjects
from adapters.openai_api.directory import AssistantDirectory, ConfiguredAssistant
from adapters.openai_api.settings import OpenAiApiSettings
from adapters.slack.settings import SlackSettings
from adapters.telegram.settings import TelegramSettings
from gateway.admin import AdminSettings
from gateway.assistants.requests.parameters import RUN_LIMITS
from gateway.callbacks import CallbackSettings
from gateway.callbacks.outbox import CallbackOutbox
from gateway.configuration import AssistantDefinition, Bot, Configuration, CurrentConfiguration
from gateway.domain.errors import InputError, SettingsError
from gateway.domain.extras import imports_of_extra
from gateway.handover import HandoverSettings
from gateway.handover.staff_channel import StaffPlace
from gateway.languages import LanguageSettings
from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.platform import Adapter, FetchesAttachments, OpensTopics, PostsFiles
from gateway.settings import AnySettings, Load, Settings
from gateway.settings.values import split_list
from gateway.web.api.api_keys import ApiKeys
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.request_limit import RequestLimit
from gateway.wiring.loading import load, load_configuration, packaged_platforms
from gateway.worker.worker import run_once
from storage.store import SqlStore


def enabled_platforms(
    settings: Settings, store: SqlStore, current: CurrentConfiguration | None = None, load: Load = load
) -> Sequence[Adapter]:
    """Returns the adapters of the enabled platforms. ``current``: None for what the settings describe. ``load``: where
    the platforms' settings come from.

    Raises SettingsError.
    """
    current = current or CurrentConfiguration(load_configuration(settings))
    built = (build() for build in adapter_builders(settings, store, load, current))
    return tuple(adapter for adapter in built if adapter is not None)


def adapter_builders(
    settings: Settings, store: SqlStore, load: Load, current: CurrentConfiguration
) -> Iterator[Callable[[], Adapter | None]]:
    """Yields what builds the adapter of each platform, if that is enabled, and of each of ``[[bots]]``.

    Each raises SettingsError.
    """
    builders = platform_builders()
    for build in builders.values():
        yield partial(build, settings, store, load, current)
    for bot in current.get().bots:
        yield partial(builders[bot.platform], settings, store, _loads(bot, load), current)


def _loads(bot: Bot, load: Load) -> Load:
    """Returns ``load`` with the settings of a bot in place of those of the one without a name."""

    def load_of_bot(cls: type[AnySettings]) -> AnySettings:
        return bot.settings if isinstance(bot.settings, cls) else load(cls)

    return load_of_bot


def _build_http(settings: Settings, store: SqlStore, load: Load, current: CurrentConfiguration) -> Adapter:
    max_chars, max_waiting = settings.max_message_chars, settings.max_waiting_callers
    adapter = HttpAdapter(
        load(HttpSettings),
        store,
        store.uploads,
        max_message_chars=max_chars,
        max_message_file_bytes=settings.max_message_file_bytes,
        max_waiting=max_waiting,
        caller_share=settings.max_caller_share,
        bound_keys=lambda: current.get().keys,
        languages=load(LanguageSettings).languages,
    )
    adapter.hands_over = people_hand_over(load)
    adapter.callbacks = callback_outbox(load(CallbackSettings), store)
    return adapter


def people_hand_over(load: Load) -> bool:
    """Returns whether people may ask for a person to answer them."""
    return load(HandoverSettings).allows_command(has_staff=load(AdminSettings).enabled)


def staff_place(settings: HandoverSettings, adapters: Sequence[Adapter]) -> StaffPlace | None:
    """Returns the channel of the staff, if there is one. Raises SettingsError where it cannot be used."""
    place = settings.place
    if place is None:
        return None
    found = next((each for each in adapters if each.name == place.platform), None)
    if not isinstance(found, OpensTopics):
        able = ", ".join(each.name for each in adapters if isinstance(each, OpensTopics))
        raise SettingsError(
            f"HANDOVER_CHANNEL: no threads of the staff can be opened on {place.platform}. Platforms set up here where "
            f"they can: {able or 'none'}."
        )
    try:
        found.destination(place)
    except InputError as exc:
        raise SettingsError(f"HANDOVER_CHANNEL: {exc}") from None
    readers = adapters if isinstance(found, FetchesAttachments) else ()
    takers = (each.name for each in readers if isinstance(each, PostsFiles) and each.posts_files)
    return StaffPlace(place, found, frozenset(takers))


def callback_outbox(settings: CallbackSettings, store: SqlStore) -> CallbackOutbox | None:
    """Returns where to leave what is posted to addresses of programs; None while nothing is."""
    if not settings.keys:
        return None
    return CallbackOutbox(store.callbacks, settings.rule, max_waiting=settings.callback_max_waiting)


def _build_openai(settings: Settings, store: SqlStore, load: Load, current: CurrentConfiguration) -> Adapter:
    http, own = load(HttpSettings), load(OpenAiApiSettings)
    limits = RequestLimit(http.chat_requests_per_minute, store), CallLimit(http.chat_reads_per_minute)
    keys = ApiKeys(http.keys, lambda: current.get().keys)
    configured = _ShownAssistants(current)
    return OpenAiAdapter(
        Callers(keys, *limits, http.trusted_proxies),
        split_list(http.cors_origins),
        KeptObjects(store.api_objects, store.uploads, store),
        AssistantDirectory(
            configured, store.api_objects, split_list(own.v1_models), _counted_in_budgets(settings, load)
        ),
        ApiLimits(
            own.max_message_chars(settings.max_message_chars),
            settings.max_waiting_callers,
            settings.max_caller_share,
            own.v1_wait_seconds,
        ),
        opens_unknown_threads=own.v1_unknown_threads == "open",
    )


def _counted_in_budgets(settings: Settings, load: Load) -> Callable[[str], bool]:
    """Returns what tells whether a model counts in the budgets, as far as there are any: without a price none does."""
    has_budgets = bool(Rules.from_settings(load(AdmissionSettings)).budget_limits)
    prices = Prices.of(load(PriceSettings), settings)
    return lambda model: not has_budgets or prices.price_of(model) is not None


class _ShownAssistants:
    """The assistants that OpenAI's API shows, the default one first: the same until the configuration changes."""

    def __init__(self, current: CurrentConfiguration) -> None:
        self._current = current
        self._shown: tuple[Configuration, Sequence[ConfiguredAssistant]] | None = None

    def __call__(self) -> Sequence[ConfiguredAssistant]:
        known = self._current.get()
        if self._shown is None or self._shown[0] is not known:
            others = (each for each in known.assistants.values() if each is not known.default)
            self._shown = known, tuple(map(_configured_assistant, (known.default, *others)))
        return self._shown[1]


def _configured_assistant(definition: AssistantDefinition) -> ConfiguredAssistant:
    own = definition.settings
    ids = (own.assistant_id,) if own.assistant_id else ()
    hosted = {"code_interpreter", "file_search"} if own.backend == "responses" else set()
    model = own.openai_model or own.backend
    aliases = (*definition.aliases, *ids)
    limits = frozenset(RUN_LIMITS.get(own.backend, ()))
    return ConfiguredAssistant(definition.name, aliases, own.assistant_name, model, frozenset(hosted), limits)


def ownerless_threads(store: SqlStore, load: Load) -> int:
    """Returns how many threads of OpenAI's API no key can reach. Raises StoreUnavailable."""
    return store.api_objects.count_ownerless() if load(HttpSettings).keys else 0


def _build_slack(_: Settings, store: SqlStore, load: Load, __: CurrentConfiguration) -> Adapter | None:
    settings = load(SlackSettings)
    if not settings.on:
        return None
    with imports_of_extra("slack", "SLACK_BOT_TOKEN or SLACK_CLIENT_ID"):
        from adapters.slack.adapter import SlackAdapter  # noqa: PLC0415  # its libraries take 5 MB
    staff, languages = load(HandoverSettings).place_on(settings.name), load(LanguageSettings).languages
    return SlackAdapter(settings, store, store.unparsed_updates, run_once, languages, staff)


def _build_telegram(_: Settings, store: SqlStore, load: Load, current: CurrentConfiguration) -> Adapter | None:
    settings = load(TelegramSettings)
    if not settings.on:
        return None
    with imports_of_extra("telegram", "TELEGRAM_BOT_TOKEN"):
        from adapters.telegram.adapter import TelegramAdapter  # noqa: PLC0415  # its libraries take 9 MB
    return TelegramAdapter(settings, store, store.unparsed_updates, run_once, _features(load, current))


def _build_discord(_: Settings, store: SqlStore, load: Load, current: CurrentConfiguration) -> Adapter | None:
    settings = load(DiscordSettings)
    if not settings.on:
        return None
    from adapters.discord.adapter import DiscordAdapter  # noqa: PLC0415  # as above

    return DiscordAdapter(settings, store, store.unparsed_updates, run_once, _features(load, current))


def _features(load: Load, current: CurrentConfiguration) -> BotFeatures:
    def has_several_assistants() -> bool:
        return len(current.get().assistants) > 1

    return BotFeatures(load(LanguageSettings).languages, people_hand_over(load), has_several_assistants)


PlatformBuilder = Callable[[Settings, SqlStore, Load, CurrentConfiguration], Adapter | None]
PLATFORM_BUILDERS: Mapping[str, PlatformBuilder] = {
    "http": _build_http,
    "openai": _build_openai,
    "slack": _build_slack,
    "telegram": _build_telegram,
    "discord": _build_discord,
}
"""Each returns the adapter of its platform if that is enabled, and raises SettingsError."""


def platform_builders() -> Mapping[str, PlatformBuilder]:
    """Returns those of this module and of installed packages, by platform. Raises SettingsError."""
    return {**PLATFORM_BUILDERS, **{name: each.build for name, each in packaged_platforms().items()}}
