"""Dockerfile, compose.yaml and the systemd unit use files, commands and settings that exist."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from gateway.cli.main import main
from gateway.wiring.loading import SETTINGS
from tests.fakes.raw_server import RawServer

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS: dict[str, dict[str, Any]] = {
    name: service for name, service in COMPOSE["services"].items() if service.get("image") == "chat-gateway"
}
DEPLOYMENT = (ROOT / "gateway" / "DEPLOYMENT.md").read_text()
UNIT = re.findall(r"^```ini\n(.+?)^```$", DEPLOYMENT, re.MULTILINE | re.DOTALL)
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
NAMED_EXTRA = re.compile(r"extra `(\w+)`|chat_gateway-….whl\[(\w+)\]")
VARIABLES = {name.upper() for each in SETTINGS for name in each.model_fields}


def test_the_image_copies_what_it_needs_and_what_is_not_ignored() -> None:
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()
    }
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)


def test_the_table_of_extras_has_them_all() -> None:
    table = re.findall(r"^\| extra \|.*\n\|[-|]+\n((?:\|.*\n)+)", DEPLOYMENT, re.MULTILINE)[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(EXTRAS.keys() - {"all"})
    (everything,) = EXTRAS["all"]
    assert sorted(re.findall(r"\w+", everything.partition("[")[2])) == sorted(listed)


def test_extras_that_are_named_exist() -> None:
    pages = [
        path.read_text() for folder in ("gateway", "adapters", "storage") for path in (ROOT / folder).rglob("*.md")
    ]
    pages.append((ROOT / "README.md").read_text())
    named = {"".join(groups) for page in pages for groups in NAMED_EXTRA.findall(page)}
    assert {"mcp", "oidc", "tracing", "slack"} <= named <= EXTRAS.keys()


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_serves_as_a_user_without_rights() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+$", last_stage, re.MULTILINE)
    assert json.loads(last_stage.rpartition("\nCMD ")[2])[0] in main.commands
    environment = re.findall(r"(\w+)=", re.findall(r"^ENV (.+)$", last_stage, re.MULTILINE)[0])
    assert set(environment) - {"PATH", "PYTHONDONTWRITEBYTECODE"} <= VARIABLES


async def test_the_image_is_healthy_behind_a_proxy_too() -> None:
    command = json.loads(re.findall(r"^HEALTHCHECK .*\n  CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[0])
    async with RawServer() as server:
        server.add_response(b"{}")
        environment = {"PORT": str(server.port), "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        check = await asyncio.create_subprocess_exec(sys.executable, *command[1:], env=environment)
        assert await check.wait() == 0
        assert server.requests[0].startswith(b"GET /healthz ")


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_that_exists_with_settings_that_exist(name: str) -> None:
    assert OURS[name]["command"][0] in main.commands
    assert set(OURS[name]["environment"]) <= VARIABLES
    assert OURS[name]["read_only"]


def test_nothing_starts_before_the_database_is_migrated() -> None:
    for name in OURS.keys() - {"migrate"}:
        assert OURS[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert OURS["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}


def test_configurations_exist_and_can_be_read() -> None:
    used = {each["source"] for service in COMPOSE["services"].values() for each in service.get("configs", ())}
    assert used == COMPOSE["configs"].keys()
    for each in COMPOSE["configs"].values():
        assert (ROOT / each["file"]).exists() if "file" in each else yaml.safe_load(each["content"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    (text,) = UNIT
    unit = tmp_path / "chat-gateway.service"
    unit.write_text(text.replace("/usr/local/bin/chat-gateway", shutil.which("true") or ""))
    ended = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
