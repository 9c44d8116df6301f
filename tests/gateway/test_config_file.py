"""gateway.toml as a whole: what it describes, and what is said of each thing that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.http import HttpSettings
from adapters.telegram.settings import TelegramSettings
from gateway.config_file.conflicts import conflicts
from gateway.configuration import Configuration, RouteRule
from gateway.domain.errors import SettingsError
from gateway.settings import Settings, config_file
from gateway.wiring import loading
from tests.gateway.settings.test_settings_file import folder, write

__all__ = ["folder"]

EXAMPLE = """
[settings]
openai_api_key = "sk-shared"
assistant_time_zone = "Europe/Berlin"

[assistants.default]
model = "gpt-5-mini"

[assistants.support]
backend = "responses"
model = "gpt-5"
instructions_file = "support.md"
tools = ["web_search", "file_search", "current_time", "mcp:orders"]
vector_stores = ["vs_1", "vs_2"]
temperature = 0.2
reasoning_effort = "LOW"
fallback = ["Default"]
aliases = ["help"]

[mcp.orders]
url = "https://orders.example/mcp"
headers = { Authorization = "Bearer ${ORDERS_TOKEN}" }
allow = ["find_order", "order_status"]
approve = ["refund"]
approvers = ["slack:U1"]

[mcp.local]
command = ["uvx", "mcp-server-time"]
env = { TZ = "UTC" }
timeout = 5

[[routes]]
platform = "slack"
channel = "C0SUPPORT"
assistant = "HELP"
choices = ["default", "support"]

[[routes]]
platform = "telegram"
channel = -100123
assistant = "support"

[[bots]]
platform = "telegram"
name = "sales"
token = "${SALES_TOKEN}"
groups = "always"
assistant = "support"

[[keys]]
name = "shop"
key = "key-of-shop"
assistants = ["support"]
"""
VARIABLES = {"ORDERS_TOKEN": "t-orders", "SALES_TOKEN": "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}


def read(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Configuration:
    (folder / "support.md").write_text("\ufeffYou are {{assistant}}.\n", "utf-8")
    write(folder, text)
    for name, value in {**VARIABLES, **variables}.items():
        monkeypatch.setenv(name, value)
    return loading.load_configuration(Settings.load())


def test_the_whole_file_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(folder, EXAMPLE, monkeypatch)
    support = found.assistants["support"]
    assert list(found.assistants) == ["default", "support"]
    assert (support.function_tools, support.mcp_servers) == (("current_time",), ("orders",))
    assert (support.fallback, support.aliases) == (("default",), ("help",))
    assert found.routes == (
        RouteRule("slack", "support", channel="C0SUPPORT", choices=("default",)),
        RouteRule("telegram", "support", channel="-100123"),
    )
    assert found.mcp_servers["orders"].headers["Authorization"].get_secret_value() == "Bearer t-orders"
    assert found.mcp_servers["orders"].allow == ("find_order", "order_status")
    assert (found.mcp_servers["local"].command, found.mcp_servers["local"].timeout) == (("uvx", "mcp-server-time"), 5)
    (bot,) = found.bots
    assert isinstance(bot.settings, TelegramSettings)
    assert (bot.platform, bot.name, bot.assistant, bot.settings.telegram_groups) == (
        *("telegram", "sales", "support", "always"),
    )
    assert found.keys[0].assistants == ("support",)
    assert {"sk-shared", "Bearer t-orders", VARIABLES["SALES_TOKEN"], "key-of-shop"} <= set(found.secrets())
    assert "key-of-shop" not in repr(found)


def test_an_assistants_own_values_are_over_those_that_all_share(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(folder, EXAMPLE, monkeypatch, OPENAI_MODEL="of-environment", ASSISTANT_INSTRUCTIONS="Be kind.")
    default, support = (found.assistants[name].settings for name in ("default", "support"))
    assert default.openai_model == "of-environment"  # the environment wins over the default assistant's values
    assert (default.assistant_instructions, default.assistant_name) == ("Be kind.", "Assistant")
    assert support.openai_model == "gpt-5"
    assert (support.assistant_instructions, support.assistant_name) == ("You are {{assistant}}.", "support")
    assert (support.openai_tools, support.openai_vector_store_ids) == ("web_search,file_search", "vs_1,vs_2")
    assert (support.openai_temperature, support.openai_reasoning_effort) == (0.2, "low")
    assert support.assistant_time_zone == default.assistant_time_zone == "Europe/Berlin"
    assert loading.load(Settings) == default


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("model = 'm'", {"openai_api_key", "openai_base_url", "assistant_backend", "openai_tools"}),
        ("base_url = 'http://other/v1'\nmodel = 'm'", set()),
        ("azure_endpoint='https://a'\nazure_api_key='k'\nazure_api_version='1'\nmodel='m'", set()),
        ("api_key = 'sk-own'", {"openai_base_url", "assistant_backend", "openai_tools"}),
        ("tools = []", {"openai_api_key", "openai_base_url", "assistant_backend"}),
        ("base_url = ''", set()),
    ],
)
def test_no_server_gets_the_key_of_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own: str, kept: set[str]
) -> None:
    shared = {"OPENAI_API_KEY": "sk-shared", "OPENAI_BASE_URL": "http://one/v1", "OPENAI_MODEL": "gpt"}
    found = read(
        folder,
        f"[assistants.a]\n{own}",
        monkeypatch,
        **shared,
        ASSISTANT_BACKEND="responses",
        OPENAI_TOOLS="web_search",
    )
    settings, default = found.assistants["a"].settings, found.default.settings
    names = ("openai_api_key", "openai_base_url", "assistant_backend", "openai_tools")
    assert {name for name in names if getattr(settings, name) == getattr(default, name)} == kept


def test_a_shared_parameter_is_left_out_where_the_backend_does_not_take_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(
        folder, "[assistants.a]\nbackend='offline'", monkeypatch, OPENAI_TEMPERATURE="1", OPENAI_API_KEY="sk-1"
    )
    assert found.assistants["a"].settings.openai_temperature is None
    assert found.default.settings.openai_temperature == 1


def test_without_a_file_there_is_one_assistant(folder: Path) -> None:
    assert loading.load_configuration(Settings.load()) == Configuration.of(Settings.load())


def test_bound_keys_are_keys_of_chat_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder, EXAMPLE, monkeypatch, GATEWAY_API_KEYS="key-for-all")
    assert loading.load(HttpSettings).keys == ("key-for-all", "key-of-shop")


SUPPORT = "[assistants.support]\n"
ROUTE = "[[routes]]\nplatform = 'slack'\n"
BOT = "[[bots]]\nplatform = 'telegram'\nname = 'b'\n"
WRONG: list[tuple[str, int, str]] = [
    ("port = 1", 1, "port: write it below a line [settings]."),
    ("[asistants.a]", 1, "asistants: is no table. Do you mean assistants?"),
    ("[[assistants]]\nmodel = 'm'", 1, "assistants: must be tables: write [assistants.NAME]."),
    ("[routes]\nplatform = 'slack'", 1, "routes: must be tables in an array: write [[routes]]."),
    ("[assistants]\nsupport = 1", 2, "assistants.support: must be a table."),
    ("[assistants.'a b']", 1, "assistants.a b: must be 1 to 40 letters, digits, - and _"),
    (f"{SUPPORT}modle = 'm'", 2, "assistants.support.modle: is not known here. Do you mean model?"),
    (f"{SUPPORT}openai_model = 'm'", 2, "assistants.support.openai_model: is not known here. Do you mean model?"),
    (f"{SUPPORT}backend = 'respones'", 2, "assistants.support.backend: must be 'responses'"),
    (f"{SUPPORT}temperature = 3", 2, "assistants.support.temperature: must be less than or equal to 2."),
    (f"{SUPPORT}temperature = [1]", 2, "assistants.support.temperature: must be text, a number, true or false."),
    (f"{SUPPORT}temperature = 1", 2, "assistants.support.temperature: the backend offline does not take it."),
    (f"{SUPPORT}backend = 'responses'", 1, "assistants.support: the backend responses needs api_key."),
    (f"{SUPPORT}tools = ['web_serach']", 2, "assistants.support.tools: there is no tool 'web_serach'. Do you mean web"),
    (f"{SUPPORT}tools = ['mcp:x']", 2, "assistants.support.tools: there is no tool 'mcp:x'."),
    (f"{SUPPORT}tools = ['web_search']", 2, "assistants.support.tools: the backend offline has no web_search."),
    (f"{SUPPORT}tools = 'x'", 2, 'assistants.support.tools: must be a list, such as ["a", "b"].'),
    (
        f"{SUPPORT}api_key='sk-12345678'\ntools = ['file_search']",
        3,
        "assistants.support.tools: file_search needs vector_stores",
    ),
    (f"{SUPPORT}instructions = 'In {{{{plce}}}}'", 2, "assistants.support.instructions: {{plce}} is not known."),
    (f"{SUPPORT}instructions_file = 'no.md'", 2, "no.md cannot be read: No such file or directory."),
    (f"{SUPPORT}instructions='a'\ninstructions_file='support.md'", 3, "there are instructions as well"),
    (
        f"{SUPPORT}fallback = ['suport']",
        2,
        "assistants.support.fallback: there is no assistant 'suport'.",
    ),
    (f"{SUPPORT}fallback = ['support']", 2, "assistants.support.fallback: support is named twice, or stands for"),
    (f"{SUPPORT}aliases = ['DEFAULT']", 2, "assistants.support.aliases: DEFAULT is also a name of default."),
    (f"{SUPPORT}[assistants.SUPPORT]", 2, "assistants.SUPPORT: SUPPORT is also a name of support."),
    (f"{ROUTE}assistant = 'x'", 3, "routes.assistant: there is no assistant 'x'. There are: default."),
    ("[[routes]]\nplatform = 'slck'\nassistant = 'default'", 2, "routes.platform: there is no platform 'slck'. Do you"),
    ("[[routes]]\nplatform = 'slack'", 1, "routes.assistant: is missing."),
    (f"{ROUTE}assistant = 'default'\nchanel = 'C'", 4, "routes.chanel: is not known here. Do you mean channel?"),
    (f"{ROUTE}assistant = 'default'\ntopic = 'T'", 1, "routes: topic needs channel"),
    (
        f"{ROUTE}assistant = 'default'\n{ROUTE}assistant = 'default'",
        4,
        "routes: the same place has a route in line 1 as well.",
    ),
    (
        "[[routes]]\nplatform = 'telegram:b'\nassistant = 'default'",
        2,
        "routes.platform: there is no platform 'telegram:b'",
    ),
    ("[mcp.a]\nallow = []", 1, "mcp.a: needs either url or command."),
    ("[mcp.a]\nurl = 'x'", 1, "mcp.a: url must be the address of a server that begins with http:// or https://"),
    ("[mcp.a]\nurl = 'http://[::1/mcp'", 1, "mcp.a: url must be the address of a server"),
    ("[mcp.a]\ncommand = ['x']\nenv = { A = 1 }", 3, "mcp.a.env.A: must be text, in quotes."),
    ("[mcp.a]\ncommand = ['x']\nheaders = { a = 'b' }", 1, "mcp.a: headers belongs to a server with url."),
    ("[mcp.a]\nurl = 'http://a'\napprovers = ['slak:U1']", 3, "mcp.a.approvers: there is no platform 'slak'."),
    ("[mcp.a]\nurl = 'http://a'\napprovers = ['U1']", 3, "mcp.a.approvers: write platform:user, key:name, asker or"),
    ("[mcp.a]\nurl = 'http://a'\napprovers = ['key:shop']", 3, "mcp.a.approvers: there is no API key with the name"),
    ("[mcp.a]\nurl = 'http://a'\napprovers = ['asker']", 3, "mcp.a.approvers: approve names no tool that they could"),
    (
        "[mcp.a]\nurl = 'http://a'\napprovers = ['slack:sales:U1']",
        3,
        "mcp.a.approvers: name no bot: people are the same",
    ),
    ("[mcp.a]\nurl = 'http://a'\napprove = ['*']", 3, "mcp.a.approve: say who may approve, such as approvers = "),
    ("[mcp.a]\nurl = 'http://a'\nhosted = true\napprove = ['*']\napprovers = ['asker']", 1, "mcp.a: approve cannot be"),
    ("[tools.calculat]\napprove = true\napprovers = ['asker']", 1, "tools.calculat: there is no function tool 'calcul"),
    ("[tools.calculate]\napprove = true", 2, "tools.calculate.approve: say who may approve"),
    ("[mcp.a]\nurl = 'http://a'\napprove = 'refund'", 3, 'mcp.a.approve: must be a list, such as ["a", "b"].'),
    (f"{BOT}", 1, "bots: needs a token."),
    (f"{BOT}token = 'sk-oops'", 4, "bots.token: is not a bot token"),
    (f"{BOT}tokn = 'x'", 4, "bots.tokn: is not known here. Do you mean token?"),
    ("[[bots]]\nplatform = 'http'\nname = 'b'", 2, "bots.platform: there is no platform with bots 'http'. There are: "),
    (
        f"{BOT}token='123456:abcdef'\n{BOT}token='123456:abcdeg'",
        5,
        "bots: a bot with this name stands in line 1",
    ),
    ("[[keys]]\nname='a'\nkey='a,b'\nassistants=['default']", 3, "keys.key: must be one key: write a table for each."),
    ("[[keys]]\nname='a'\nkey='sk-oops'\nassistants=[]", 4, "keys.assistants: is empty; write something"),
]


@pytest.mark.parametrize(("text", "line", "what"), WRONG)
def test_what_is_wrong_is_told_with_its_line_and_the_nearest_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, what: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(folder, text, monkeypatch)
    assert any(f"gateway.toml, line {line}: " in each and what in each for each in _lines(caught)), caught
    assert "oops" not in str(caught.value)


def _lines(caught: Any) -> list[str]:
    return str(caught.value).splitlines()


def test_everything_that_is_wrong_is_told_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        read(folder, "[assistants.a]\nmodle = 1\n[[routes]]\nplatform = 'x'\n[mcp.b]\n", monkeypatch)
    assert [line.partition(": ")[2].partition(":")[0] for line in _lines(caught)] == [
        *("assistants.a.modle", "routes.assistant", "mcp.b"),
    ]


def test_a_bot_takes_no_secret_over_from_the_one_without_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"TELEGRAM_BOT_TOKEN": "99:abcdef", "TELEGRAM_WEBHOOK_SECRET": "s", "TELEGRAM_GROUPS": "always"}
    found = read(folder, f"{BOT}token = '123456:abcdef'", monkeypatch, **own)
    settings = found.bots[0].settings
    assert isinstance(settings, TelegramSettings)
    assert (settings.telegram_webhook_secret, settings.telegram_groups) == (None, "always")
    assert settings.name == f"telegram:{settings.bot}"
    assert settings.path("/telegram/webhook") == f"/telegram/{settings.bot}/webhook"
    route = f"[[routes]]\nplatform = '{settings.name}'\nassistant = 'default'\n"
    routed = read(folder, f"{route}{BOT}token = '123456:abcdef'", monkeypatch)
    assert routed.routes == (RouteRule(settings.name, "default"),)
    with pytest.raises(SettingsError, match=r"line 4: bots.token: is that of the bot without a name\."):
        read(folder, f"{BOT}token = '99:abcdef'", monkeypatch)


def test_what_the_environment_says_otherwise_is_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"OPENAI_MODEL": "other", "ASST_ID": "a", "PORT": "9000", "LOG_LEVEL": "debug", "ALLOWED": "http:a"}
    text = """
        [settings]
        port = 9000
        log_level = "DEBUG"
        assistant_id = "b"
        allowed = ["http:a", "http:b"]
        telegram_names = true
        [assistants.default]
        model = "mine"
        [assistants.other]
        model = "mine"
        """
    read(folder, text, monkeypatch, **given, OPENAI_API_KEY="sk-12345678", ASSISTANT_BACKEND="chat")
    assert (file := config_file()) is not None
    assert list(conflicts(file, loading.SETTINGS)) == [
        "gateway.toml, line 9: assistants.default.model: OPENAI_MODEL in the environment says otherwise, and wins.",
        "gateway.toml, line 5: settings.assistant_id: ASST_ID in the environment says otherwise, and wins.",
        "gateway.toml, line 6: settings.allowed: ALLOWED in the environment says otherwise, and wins.",
    ]
