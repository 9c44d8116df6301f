"""``python -m gateway check``: checks everything that is configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from tempfile import TemporaryDirectory

from gateway import assistants, operations
from gateway.admin import AdminSettings
from gateway.admin.access.oidc_setup import check_provider
from gateway.cli.start_facts import start_facts
from gateway.cli.try_out import try_out
from gateway.configuration import DEFAULT_ASSISTANT, Configuration, CurrentConfiguration, McpServerDefinition
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import GatewayError, SettingsError
from gateway.domain.models import ConversationKey
from gateway.handover import HandoverSettings
from gateway.handover.looking_back import refusals
from gateway.handover.tool import NAME as HAND_OVER
from gateway.policy import admission
from gateway.policy.prices import Prices, PriceSettings
from gateway.policy.rules import AdmissionSettings, Rules
from gateway.ports.check import CheckResult
from gateway.ports.platform import Adapter, Closeable
from gateway.ports.unparsed_updates import UnparsedUpdates
from gateway.settings import Load, Settings, config_file
from gateway.tools import FoundTool, Tool, ToolBox, find_tools
from gateway.tools.servers import ToolServers, check_servers
from gateway.wiring import loading, platforms
from gateway.wiring.running_gateway import DISK_FULL
from gateway.worker.worker import run_once
from storage import migrations
from storage.store import SqlStore

UP_TO_DATE = "up to date"


def check(load: Load = loading.load, wrong: Sequence[str] = ()) -> Iterator[CheckResult]:
    """Yields one result per line of output. ``wrong``: lines about settings, in whose place there are defaults.

    Raises nothing if ``load`` does not.
    """
    settings = load(Settings)
    for line in wrong:
        yield CheckResult("settings", ok=False, detail=line)
    database = _check_schema(settings)
    yield database
    try:
        tools = find_tools(settings.tools_path)
    except SettingsError as exc:
        yield CheckResult("tools", ok=False, detail=str(exc))
        tools = ()
    file = config_file()
    configuration = Configuration.of(settings) if wrong else loading.load_configuration(settings)
    if any(file is not None or line.startswith(Settings.prefixes) for line in wrong):
        yield CheckResult("assistant", ok=False, detail="not checked, because of its settings above")
    else:
        yield from _check_assistants(configuration, tools)
    if file is not None and not wrong:
        from gateway.config_file.conflicts import conflicts  # noqa: PLC0415  # a server without a file does without

        yield from (
            CheckResult("set twice", ok=True, detail=line) for line in conflicts(file, loading.settings_classes())
        )
    for found in tools:
        yield CheckResult(f"tool {found.tool.name}", ok=True, detail=found.origin)
    yield from _check_handover_tool(configuration, load)
    yield _check_budgets(settings, configuration, load)
    if (provider := load(AdminSettings).oidc) is not None:
        yield from run_once(check_provider(provider))
    for warning in loading.start_warnings(settings, load):
        yield CheckResult("warning", ok=True, detail=warning)
    yield from _check_platforms(settings, load, configuration, count_unparsed=database.detail == UP_TO_DATE)


def _check_assistants(configuration: Configuration, tools: Sequence[FoundTool]) -> Iterator[CheckResult]:
    for definition in configuration.assistants.values():
        names = definition.function_tools
        servers = [configuration.mcp_servers[server] for server in definition.mcp_servers]
        functions = [each.tool for each in tools if names is None or each.tool.name in names]
        toolbox = ToolBox(functions, hosted=[server for server in servers if server.hosted])
        yield from _check_names(definition.name, servers, functions)
        for result in check_assistant(definition.settings, toolbox):
            is_default = definition.name == DEFAULT_ASSISTANT
            yield result if is_default else replace(result, name=f"{definition.name}: {result.name}")
    yield from _check_tool_servers(configuration)
    used = {server for definition in configuration.assistants.values() for server in definition.mcp_servers}
    for server in configuration.mcp_servers.keys() - used:
        detail = f"no assistant uses it; name it in the tools of one, as mcp:{server}"
        yield CheckResult(f"mcp {server}", ok=True, detail=detail)


def _check_names(
    assistant: str, servers: Sequence[McpServerDefinition], functions: Sequence[Tool]
) -> Iterator[CheckResult]:
    try:
        check_servers(assistant, servers, functions)
    except SettingsError as exc:
        yield CheckResult("mcp", ok=False, detail=str(exc))


def _check_tool_servers(configuration: Configuration) -> Sequence[CheckResult]:
    """Connects to the MCP servers and says what they offer."""
    servers = ToolServers()
    try:
        servers.acquire(configuration.mcp_servers.values())
    except SettingsError as exc:
        return (CheckResult("mcp", ok=False, detail=str(exc)),)
    hosted = [each.name for each in configuration.mcp_servers.values() if each.hosted]
    called = [CheckResult(f"mcp {name}", ok=True, detail="called by the assistant's server") for name in hosted]
    return (*called, *run_once(servers.check_once())) if servers.in_use else called


def _check_platforms(
    settings: Settings, load: Load, configuration: Configuration, *, count_unparsed: bool
) -> Iterator[CheckResult]:
    with _open_store(settings) as (store, location):
        found, adapters = [], list[Adapter]()
        if location and store.is_disk_full():
            yield CheckResult("disk", ok=False, detail=DISK_FULL)
        for build in platforms.adapter_builders(settings, store, load, CurrentConfiguration(configuration)):
            try:
                adapter = build()
            except SettingsError as exc:
                yield CheckResult("settings", ok=False, detail=str(exc))
                continue
            if adapter is not None:
                found.append(adapter.name)
                adapters.append(adapter)
                yield from run_once(check_platform(adapter))
                if count_unparsed:
                    yield from _check_unparsed(adapter.name, store.unparsed_updates)
        if count_unparsed:
            yield from _check_ownerless(store, load)
            yield from _check_handovers(store, load(HandoverSettings).place)
        yield from _check_staff_channel(load, adapters)
        yield from start_facts(load, found, location)


@contextmanager
def _open_store(settings: Settings) -> Iterator[tuple[SqlStore, str]]:
    """Opens the store, and says where its data is.

    Where the setting is wrong, which the line about the database says, it is an empty one, whose place is of no use.
    """
    with TemporaryDirectory() as folder:
        try:
            store = SqlStore(settings.database_url)
            location = store.location
        except SettingsError:
            store, location = SqlStore(f"sqlite:///{folder}/none.db"), ""
        with closing(store):
            yield store, location


def _check_handovers(store: SqlStore, place: ConversationKey | None) -> Iterator[CheckResult]:
    """Says in how many conversations a person answers. ``place``: the channel of the staff."""
    if count := store.handovers.count_open():
        detail = f"a person answers in {count} of the conversations: {gateway_command('handover')} lists them"
        yield CheckResult("handed over", ok=True, detail=detail)
    if place is not None and (hidden := refusals(store.handovers.introduced(place.platform))):
        why = "; ".join(sorted(set(hidden.values())))
        detail = f"{len(hidden)} of them could not be shown in the channel of the staff: {why}"
        yield CheckResult("handovers not shown", ok=False, detail=detail)


def _check_staff_channel(load: Load, adapters: Sequence[Adapter]) -> Iterator[CheckResult]:
    """Says whether the staff can answer in a channel, if one is set."""
    settings = load(HandoverSettings)
    if settings.place is None:
        return
    try:
        platforms.staff_place(settings, adapters)
    except SettingsError as exc:
        yield CheckResult("staff channel", ok=False, detail=str(exc))
    else:
        yield CheckResult("staff channel", ok=True, detail=settings.handover_channel or "")


def _check_handover_tool(configuration: Configuration, load: Load) -> Iterator[CheckResult]:
    """Says which assistants may hand a conversation over by themselves."""
    listed = [name for name, each in configuration.assistants.items() if HAND_OVER in (each.function_tools or ())]
    whose = "all assistants" if load(HandoverSettings).handover_tool else ", ".join(listed)
    if whose:
        yield CheckResult(f"tool {HAND_OVER}", ok=True, detail=f"for {whose}")


def _check_schema(settings: Settings) -> CheckResult:
    try:
        current = migrations.is_current(settings.database_url)
    except GatewayError as exc:
        return CheckResult("database", ok=False, detail=str(exc))
    on_start = settings.database_url.startswith("sqlite")
    outdated = "will be migrated on start" if on_start else f"not up to date; run {gateway_command('migrate')}"
    detail = UP_TO_DATE if current else outdated
    return CheckResult("database", ok=current or on_start, detail=detail)


def check_assistant(settings: Settings, toolbox: ToolBox) -> Sequence[CheckResult]:
    """Checks that the assistant answers a message. Raises nothing."""
    missing = settings.missing()
    if missing:
        return (CheckResult(settings.backend, ok=False, detail=f"missing: {', '.join(missing)}"),)

    async def ask() -> Sequence[CheckResult]:
        assistant = assistants.build(settings, toolbox, assistants.NoSharedValues())
        try:
            found = await assistant.check()
            if not (assistant.is_metered and all(result.ok for result in found) and _may_be_tried(settings)):
                return found
            tried = await try_out(assistant, with_image=settings.backend != "threads")  # it would keep the image
            return (*await assistant.check(), *tried)
        finally:
            await assistant.close()

    try:
        return run_once(ask())
    except SettingsError as exc:
        return (CheckResult(settings.backend, ok=False, detail=str(exc)),)


def _may_be_tried(settings: Settings) -> bool:
    """Returns whether a test message leaves nothing behind: ``threads`` creates an assistant where none is set."""
    return settings.backend != "threads" or settings.assistant_id is not None


def _check_budgets(settings: Settings, configuration: Configuration, load: Load) -> CheckResult:
    asked = (model for each in configuration.assistants.values() for model in _models_of(each.settings))
    prices = Prices.of(load(PriceSettings), settings)
    return admission.check_budgets(Rules.from_settings(load(AdmissionSettings)), prices, dict.fromkeys(asked))


def _models_of(settings: Settings) -> Iterator[str]:
    """Yields the models of an assistant that cost something, as far as its settings name them."""
    if settings.backend != "offline":
        yield from filter(None, (settings.openai_model, settings.transcription_model))


async def check_platform(adapter: Adapter) -> Sequence[CheckResult]:
    """Checks a platform and closes its adapter. Raises nothing."""
    try:
        return await adapter.check()
    finally:
        if isinstance(adapter, Closeable):
            await adapter.close()


def _check_ownerless(store: SqlStore, load: Load) -> Sequence[CheckResult]:
    """Returns a line if there are threads that no API key can reach. They do not fail the check."""
    try:
        count = platforms.ownerless_threads(store, load)
    except GatewayError as exc:
        return (CheckResult("threads of /v1", ok=False, detail=str(exc)),)
    whose = f"no keys were set when they were made; see {gateway_command('assign-threads --help')}"
    detail = f"{count} belong to nobody, as {whose}"
    return (CheckResult("threads of /v1", ok=True, detail=detail),) if count else ()


def _check_unparsed(platform: str, updates: UnparsedUpdates) -> Sequence[CheckResult]:
    """Returns a line if updates of the platform are stored that could not be parsed. They do not fail the check."""
    try:
        found = updates.count(platform)
    except GatewayError as exc:
        return (CheckResult(f"{platform} unparsed", ok=False, detail=str(exc)),)
    if found.newest_at is None:
        return ()
    what = "1 update" if found.count == 1 else f"{found.count} updates"
    detail = f"{what} could not be parsed; newest {operations.iso(found.newest_at)}; see the table unparsed_updates"
    return (CheckResult(f"{platform} unparsed", ok=True, detail=detail),)
