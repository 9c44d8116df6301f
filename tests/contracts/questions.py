"""What every chat platform must do with a question about a call of a tool. Subclass, and give a scene."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from adapters.base.approvals import question_id, verdict_of
from gateway.domain.approvals import Decider, Decision
from gateway.domain.shown_arguments import ARGUMENTS, FILE_NAME, arguments_content
from tests.contracts.reply_scene import ReplyScene
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.platform_faults import RateLimit, ResponseLost

INVISIBLE = re.compile("[\u2060\u200b]")
"""What some platforms need within a mention or a run of backticks."""
DENIED = {"decision": Decision.DENIED, "decided_by": "x:1", "decided_name": "Ann *Lee*"}


class QuestionContract:
    """Give ``scene``."""

    HAS_BUTTONS = True

    @pytest.fixture
    def scene(self) -> ReplyScene:
        raise NotImplementedError

    async def test_a_question_is_posted_once_with_the_exact_arguments(self, scene: ReplyScene) -> None:
        delivery, asked = FakeDeliveryContext(), scene.question()
        await scene.ask(asked, delivery)
        await scene.ask(asked, FakeDeliveryContext(posted_messages=delivery.posted_messages))
        (text,) = scene.texts()
        assert "refund" in text
        assert "<@U1> **1** `" in INVISIBLE.sub("", text)
        assert scene.count(scene.POST) == 1
        assert delivery.posted_messages

    async def test_its_buttons_say_what_they_are_about(self, scene: ReplyScene) -> None:
        asked = scene.question()
        await scene.ask(asked, FakeDeliveryContext())
        verdicts = [verdict_of(press, Decider("x", "1")) for press in scene.presses()]
        said = [(each.approval_id, each.digest, each.approves) for each in verdicts if each]
        expected = [(asked.id, asked.digest, True), (asked.id, asked.digest, False)]
        assert said == (expected if self.HAS_BUTTONS else [])
        assert all(len(press.encode()) <= 64 for press in scene.presses())

    @pytest.mark.parametrize("same_process", [True, False])
    async def test_what_was_decided_replaces_the_buttons(self, scene: ReplyScene, *, same_process: bool) -> None:
        delivery = FakeDeliveryContext()
        await scene.ask(scene.question(), delivery)
        later = delivery if same_process else FakeDeliveryContext(posted_messages=delivery.posted_messages)
        for _ in range(2):
            await scene.ask(scene.question(**DENIED), later)
        (text,) = scene.texts()
        assert "Ann" in text
        assert scene.presses() == []
        assert scene.count(scene.POST) == 1

    async def test_it_stays_beside_the_reply(self, scene: ReplyScene) -> None:
        await scene.ask(scene.question(), FakeDeliveryContext())
        await scene.deliver(scene.answered("It is done."))
        assert scene.texts()[1:] == ["It is done."]
        await scene.restart()
        await scene.deliver(scene.answered("It is done."))
        assert len(scene.texts()) == 2

    async def test_a_lost_answer_and_a_rate_limit_cost_nothing(self, scene: ReplyScene) -> None:
        delivery, asked = FakeDeliveryContext(), scene.question()
        scene.faults.add(scene.POST, RateLimit(1))
        await scene.ask(asked, delivery)
        scene.faults.add(scene.UPDATE, ResponseLost())
        await scene.ask(scene.question(**DENIED), FakeDeliveryContext(posted_messages=delivery.posted_messages))
        (text,) = scene.texts()
        assert "Ann" in text

    async def test_a_question_that_may_be_posted_is_looked_for(self, scene: ReplyScene) -> None:
        scene.faults.add(scene.POST, ResponseLost())
        delivery = FakeDeliveryContext()
        await scene.ask(scene.question(), delivery)
        await scene.restart()
        await scene.ask(
            scene.question(), FakeDeliveryContext(first_attempt=False, posted_messages=delivery.posted_messages)
        )
        assert 1 <= len(scene.texts()) <= 2
        assert len(set(scene.texts())) == len(scene.texts())  # a repetition says so

    async def test_long_arguments_are_shown_in_part(self, scene: ReplyScene) -> None:
        asked = scene.question(arguments='{"text": "' + "word " * 2000 + '", "to": "account 7"}')
        await scene.ask(asked, FakeDeliveryContext())
        text = scene.texts()[0]
        assert asked.digest in text
        assert "account 7" in text  # however long the others are
        assert "/chat/approvals" in text
        assert len(text) < 2000

    async def test_long_arguments_are_whole_in_a_file_beside_the_question(self, scene: ReplyScene) -> None:
        asked = scene.question(arguments='{"text": "' + "word " * 2000 + '"}')
        delivery = FakeDeliveryContext(files={ARGUMENTS: arguments_content(asked.arguments)})
        await scene.ask(asked, delivery)
        assert scene.files() == [FILE_NAME]
        assert FILE_NAME in scene.texts()[0]
        decided = scene.question(arguments=asked.arguments, **DENIED)
        await scene.ask(decided, FakeDeliveryContext(posted_messages=delivery.posted_messages))
        assert scene.files() == [FILE_NAME]

    async def test_two_questions_of_one_turn_are_two(self, scene: ReplyScene) -> None:
        one, other = scene.question(), replace(scene.question(), id=f"appr_{scene.turn.id}_2", arguments="{}")
        assert question_id(one) != question_id(other)
        await scene.ask(one, FakeDeliveryContext())
        await scene.ask(other, FakeDeliveryContext())
        assert len(scene.texts()) == 2
