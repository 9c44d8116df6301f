"""Telegram keeps the contracts of delivery and preview."""

from __future__ import annotations

import pytest

from adapters.telegram import preview
from tests.adapters.telegram.reply_scene import MakeScene, TelegramScene
from tests.contracts.delivery import DeliveryContract
from tests.contracts.preview import PreviewContract
from tests.contracts.questions import QuestionContract


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "GROUP_SECONDS", 0.002)


class TestDelivery(DeliveryContract):
    @pytest.fixture
    def scene(self, make: MakeScene) -> TelegramScene:
        return make("group")


class TestQuestions(QuestionContract):
    @pytest.fixture
    def scene(self, make: MakeScene) -> TelegramScene:
        return make("group")


class TestPreview(PreviewContract):
    @pytest.fixture
    def scene(self, make: MakeScene) -> TelegramScene:
        return make("group")

    @pytest.fixture
    def slow_scene(self, make: MakeScene, monkeypatch: pytest.MonkeyPatch) -> TelegramScene:
        monkeypatch.setattr(preview, "GROUP_SECONDS", 60)
        return make("group")
