"""Slack keeps the contracts of delivery and preview."""

from __future__ import annotations

import pytest

from tests.adapters.slack.reply_scene import MakeScene, SlackScene
from tests.contracts.delivery import DeliveryContract
from tests.contracts.preview import PreviewContract
from tests.contracts.questions import QuestionContract

UPDATES = {"slack_preview": "update"}


class TestDelivery(DeliveryContract):
    @pytest.fixture
    def scene(self, make: MakeScene) -> SlackScene:
        return make(settings=UPDATES)


class TestQuestions(QuestionContract):
    @pytest.fixture
    def scene(self, make: MakeScene) -> SlackScene:
        return make(settings=UPDATES)


class TestPreview(PreviewContract):
    @pytest.fixture
    def scene(self, make: MakeScene) -> SlackScene:
        return make(settings=UPDATES)

    @pytest.fixture
    def slow_scene(self, make: MakeScene) -> SlackScene:
        return make(settings={**UPDATES, "slack_stream_seconds": 60})
