"""The backend of the example package, by the contracts of backends."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from gateway.ports.assistant import Assistant
from gateway.settings import Settings
from gateway.tools import ToolBox
from tests.contracts.assistant_approvals import HeldCallContract
from tests.fakes.shared_values import MemorySharedValues
from tests.settings import settings_of

PACKAGE = Path(__file__).parents[2] / "package" / "example_platform"


class TestParrot(HeldCallContract):
    asking = 'call refund {"order": 1}'

    @pytest.fixture
    def assistant(self, toolbox: ToolBox, monkeypatch: pytest.MonkeyPatch) -> Assistant:
        monkeypatch.syspath_prepend(PACKAGE)
        parrot = importlib.import_module("example_platform.parrot")
        found: Assistant = parrot.build(settings_of(Settings), toolbox, MemorySharedValues())
        monkeypatch.delitem(sys.modules, "example_platform.parrot")
        return found
