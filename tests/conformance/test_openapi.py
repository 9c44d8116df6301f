"""Schemathesis calls every operation of the OpenAPI document, streams too, and compares the answers with it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.serve_process import GatewayServeProcess, free_port
from tests.fakes.openai_server import FakeOpenAI

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]
EXAMPLES = 40
"""Of each operation and phase."""


def test_the_api_is_as_its_document_says(tmp_path: Path) -> None:
    port = free_port()
    unlimited = {"CHAT_READS_PER_MINUTE": "0", "CHAT_REQUESTS_PER_MINUTE": "0"}
    with FakeOpenAI() as openai:
        settings = {"ASSISTANT_BACKEND": "offline", **unlimited}
        program = GatewayServeProcess(tmp_path, openai, port, **settings)
        with closing(program):
            document = f"http://127.0.0.1:{port}/openapi.json"
            options = ["--max-examples", f"{EXAMPLES}", "--seed", "1", "--no-color"]
            command = [sys.executable, "-m", "schemathesis.cli", "run", document, *options]
            found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout[-6000:]
