"""The kit carries a third platform: one of some 150 lines keeps both contracts."""

from __future__ import annotations

import pytest

from tests.adapters.base.board import BoardScene
from tests.contracts.delivery import DeliveryContract
from tests.contracts.preview import PreviewContract
from tests.contracts.questions import QuestionContract


class TestDelivery(DeliveryContract):
    @pytest.fixture
    def scene(self) -> BoardScene:
        return BoardScene(pace=0.002)


class TestQuestions(QuestionContract):
    HAS_BUTTONS = False

    @pytest.fixture
    def scene(self) -> BoardScene:
        return BoardScene(pace=0.002)


class TestPreview(PreviewContract):
    @pytest.fixture
    def scene(self) -> BoardScene:
        return BoardScene(pace=0.002)

    @pytest.fixture
    def slow_scene(self) -> BoardScene:
        return BoardScene(pace=60)
