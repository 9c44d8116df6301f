"""Which assistant a message is for: the table of routes, ties, what may be asked for, and what is a command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration import CurrentConfiguration, RouteRule
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import DEFAULT_ASSISTANT, ConversationKey, Message, MessageKind
from gateway.policy.routes import AssistantRouter, described, find_route
from gateway.ports.enqueue import AssistantRoute
from tests.gateway.one_assistant import configuration

ROUTES = (
    RouteRule("slack", "platform"),
    RouteRule("slack", "workspace", workspace="T1"),
    RouteRule("slack", "channel", channel="C1"),
    RouteRule("slack", "there", workspace="T2", channel="C1"),
    RouteRule("slack", "topic", topic="7"),
    RouteRule("slack", "twin", channel="C1"),
    RouteRule("telegram", "elsewhere", workspace="T1", channel="C1", topic="7"),
)


@pytest.mark.parametrize(
    ("workspace", "channel", "topic", "found"),
    [
        ("T0", "C0", "", "platform"),
        ("T1", "C0", "", "workspace"),
        ("T1", "C1", "", "channel"),
        ("T2", "C1", "", "there"),
        ("T2", "C1", "7", "topic"),
        ("T1", "C1", "8", "channel"),
        ("T0", "C0", "7", "topic"),
    ],
)
def test_the_most_specific_route_wins(workspace: str, channel: str, topic: str, found: str) -> None:
    route = find_route(ROUTES, ConversationKey("slack", workspace, channel, topic, "U1"))
    assert route is not None
    assert route.assistant == found


def test_a_route_for_a_platform_is_one_for_its_bots_and_one_for_a_bot_is_for_it_alone() -> None:
    routes = (RouteRule("slack", "all"), RouteRule("slack:desk", "desk"), RouteRule("slack", "channel", channel="C1"))
    keys = [ConversationKey(name, channel="C0") for name in ("slack", "slack:desk", "slack:other")]
    found = [find_route(routes, key) for key in keys]
    assert [route and route.assistant for route in found] == ["all", "desk", "all"]
    assert find_route(routes, ConversationKey("slack:desk", channel="C1")) is routes[2]


def test_a_platform_without_a_route_has_none() -> None:
    assert find_route(ROUTES, ConversationKey("discord", "T1", "C1", "7")) is None
    assert find_route((), ConversationKey("slack")) is None


PARTS = st.sampled_from(["", "1", "2"])
KEYS = st.builds(ConversationKey, st.sampled_from(["slack", "telegram"]), *[st.sampled_from(["1", "2", "3"])] * 3)


LISTS = st.lists(st.builds(RouteRule, st.sampled_from(["slack", "telegram"]), st.uuids().map(str), *[PARTS] * 3))


@given(routes=LISTS, key=KEYS)
def test_of_equally_specific_routes_the_first_in_the_file_wins(routes: list[RouteRule], key: ConversationKey) -> None:
    found = find_route(routes, key)
    named = ("topic", "channel", "workspace")
    matching = [
        route
        for route in routes
        if route.platform == key.platform and all(getattr(route, part) in ("", getattr(key, part)) for part in named)
    ]
    assert (found is None) == (not matching)
    if found is not None:
        ranks = [[bool(getattr(route, part)) for part in named] for route in matching]
        assert found is matching[ranks.index(max(ranks))]


# ---------------------------------------------------------------- what a message becomes


def router(*names: str, free: tuple[str, ...] = (), routes: tuple[RouteRule, ...] = (), **more: Any) -> AssistantRouter:
    return AssistantRouter(CurrentConfiguration(configuration(*names, routes=routes, **more)), free)


def asking(text: str = "hi", platform: str = "slack", **more: Any) -> Message:
    return Message(ConversationKey(platform, channel="C1"), "1", text, **more)


def test_without_routes_there_is_the_default_assistant() -> None:
    assert router("support").place(asking()) == (asking(), AssistantRoute(choices=frozenset({DEFAULT_ASSISTANT})))


def test_a_route_says_who_answers_and_who_may_be_chosen() -> None:
    route = RouteRule("slack", "support", channel="C1", choices=("code", "support"))
    placed = router("support", "code", routes=(route,)).place(asking())
    assert placed == (asking(), AssistantRoute("support", frozenset({"support", "code"})))


@pytest.mark.parametrize("asked", ["support", "SUPPORT", "help desk"])
def test_a_sender_may_ask_for_any_assistant_on_a_platform_where_programs_name_them(asked: str) -> None:
    routes = router("support", free=("http",), aliases={"support": ["Help Desk"]})
    placed, route = routes.place(asking(platform="http", assistant=asked))
    assert placed.assistant == "support"
    assert route.assistant == DEFAULT_ASSISTANT
    assert "support" in route.choices


@pytest.mark.parametrize(
    ("options", "asked", "names"),
    [
        ({"free": ("http",)}, "supprt", "default, support, code"),
        ({"routes": (RouteRule("http", "support"),), "free": ("http",)}, "code", "support"),
        ({}, "code", "default"),
    ],
)
def test_an_assistant_that_may_not_be_asked_is_refused_with_those_that_may(
    options: dict[str, Any], asked: str, names: str
) -> None:
    with pytest.raises(MalformedRequest) as caught:
        router("support", "code", **options).place(asking(platform="http", assistant=asked))
    assert caught.value.code == "unknown_assistant"
    assert str(caught.value) == f"There is no assistant {asked!r} for you here. You may ask: {names}."


def test_a_sender_that_is_bound_may_ask_only_those() -> None:
    bound = asking(platform="http", allowed_assistants=("code", "support"))
    routes = router("support", "code", free=("http",), routes=(RouteRule("http", "support"),))
    assert routes.place(bound)[1] == AssistantRoute("code", frozenset({"code", "support"}))
    with pytest.raises(MalformedRequest, match="You may ask: code, support"):
        routes.place(replace(bound, assistant=DEFAULT_ASSISTANT))


CHOICE = RouteRule("slack", "support", choices=("code",))


@pytest.mark.parametrize(
    ("text", "kind", "assistant"),
    [
        ("/assistant code", MessageKind.CHOOSE, "code"),
        ("assistant Code", MessageKind.CHOOSE, "code"),
        ("/assistant support", MessageKind.CHOOSE, "support"),
        ("/assistant", MessageKind.CHOOSE, ""),
        ("assistants", MessageKind.CHOOSE, ""),
        ("/assistant default", MessageKind.CHOOSE, ""),
        ("/assistant nobody", MessageKind.CHOOSE, ""),
        ("assistant manager", MessageKind.PROMPT, ""),
        ("assistant default", MessageKind.PROMPT, ""),
    ],
)
def test_a_command_chooses_what_the_route_lets_it(text: str, kind: MessageKind, assistant: str) -> None:
    placed, route = router("support", "code", routes=(CHOICE,)).place(asking(text, kind=MessageKind.CHOOSE))
    assert (placed.kind, placed.assistant) == (kind, assistant)
    assert route.assistant == "support"


@pytest.mark.parametrize("text", ["/assistant x", "/assistants", "assistants"])
def test_with_one_assistant_there_is_no_such_command(text: str) -> None:
    placed, _ = router().place(asking(text, kind=MessageKind.CHOOSE))
    assert placed == asking(text)


@pytest.mark.parametrize(("text", "kind"), [("/assistants", MessageKind.CHOOSE), ("assistants", MessageKind.PROMPT)])
def test_where_nothing_can_be_chosen_mere_words_are_no_command(text: str, kind: MessageKind) -> None:
    alone = RouteRule("slack", "support")
    placed, _ = router("support", "code", routes=(alone,)).place(asking(text, kind=MessageKind.CHOOSE))
    assert placed.kind is kind


def test_a_route_in_words() -> None:
    assert described(None) == "no route leads elsewhere"
    route = RouteRule("slack", "support", workspace="T1", channel="C1")
    assert described(route) == "by the route for slack, workspace T1, channel C1"
