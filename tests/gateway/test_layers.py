"""The core names no platform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORMS = sorted(path.stem for path in (ROOT / "adapters").glob("[a-z]*"))
COMPOSITION = (
    *("app.py", "running_gateway.py", "platforms.py", "loading.py", "reloading.py"),
    *("commands.py", "init.py", "start_facts.py"),
)
"""The files that put the parts together."""
CORE = sorted(path for path in (ROOT / "gateway").rglob("*.py") if path.name not in COMPOSITION)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_core_never_says_the_name_of_a_platform(platform: str) -> None:
    quoted = "" if platform == "http" else rf"""|["']{platform}["']"""  # http is also a URL scheme
    said = re.compile(rf"adapters\.{platform}\b|adapters import .*\b{platform}\b{quoted}")
    assert CORE
    assert [path.name for path in CORE if said.search(path.read_text())] == []
