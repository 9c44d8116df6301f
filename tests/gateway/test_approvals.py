"""Tools that people have to approve, through a whole gateway: a real MCP server, a function tool, and POST /chat."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.settings import Settings
from tests.adapters.chat import parse
from tests.fakes.openai_server import CallTool, FakeOpenAI, Say
from tests.gateway.served_gateway import run_gateway, serve_gateway
from tests.waiting import until

MCP_PROGRAM = Path(__file__).parents[1] / "fakes" / "mcp_tools.py"
FILE = f"""
[assistants.default]
tools = ["calculate", "mcp:orders"]

[mcp.orders]
command = {json.dumps([sys.executable, "-P", str(MCP_PROGRAM)])}
allow = ["find_order", "refund"]
approve = ["refund"]
approvers = ["asker", "key:boss"]

[tools.calculate]
approve = true
approvers = ["key:boss"]

[[keys]]
name = "shop"
key = "key-of-the-shop"
assistants = ["default"]

[[keys]]
name = "boss"
key = "key-of-the-boss"
assistants = ["default"]
"""
REFUND = CallTool("orders__refund", {"number": "A-1", "cents": 50})
SHOP, BOSS = ({"Authorization": f"Bearer key-of-the-{name}"} for name in ("shop", "boss"))
ASYNC = {"Prefer": "respond-async"}


@dataclass
class Site:
    url: str
    fake: FakeOpenAI

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)

    def get(self, path: str, headers: dict[str, str]) -> httpx2.Response:
        return httpx2.get(f"{self.url}{path}", headers=headers, timeout=30)

    def decide(
        self, asked: dict[str, Any], headers: dict[str, str], decision: str = "approve", digest: str = ""
    ) -> httpx2.Response:
        body = {"decision": decision, "digest": digest or asked["digest"]}
        return self.post(f"/chat/approvals/{asked['approval_id']}", body, headers)

    def outputs(self) -> str:
        """Returns what the model was told last."""
        return str(self.fake.posts("/chat/completions")[-1].body["messages"])


@pytest.fixture(scope="module")
def site(sqlite_module_url: str) -> Iterator[Site]:
    folder = Path(sqlite_module_url.removeprefix("sqlite:///")).parent
    with FakeOpenAI() as fake, pytest.MonkeyPatch.context() as patch:
        (folder / "gateway.toml").write_text(FILE, "utf-8")
        patch.chdir(folder)
        patch.delenv("GATEWAY_API_KEYS", raising=False)
        given = {"OPENAI_API_KEY": "sk-test", "OPENAI_MODEL": "gpt-test", "OPENAI_BASE_URL": fake.base_url}
        given |= {"ASSISTANT_BACKEND": "chat", "DATABASE_URL": sqlite_module_url, "GATEWAY_CONFIG": "gateway.toml"}
        for name, value in given.items():
            patch.setenv(name, value)
        with run_gateway(Settings.load()) as gateway, serve_gateway(gateway) as url:
            yield Site(url, fake)


def test_a_caller_who_waits_is_told_and_decides(site: Site) -> None:
    site.fake.script(REFUND, Say("Refunded."))
    waiting = site.post("/chat", {"message": "Refund A-1"}, SHOP)
    assert waiting.status_code == 202
    body = waiting.json()
    assert (body["waits_for"], waiting.headers["Location"]) == ("approval", f"/chat/turns/{body['turn_id']}")
    (asked,) = body["approvals"]
    assert (asked["tool"], json.loads(asked["arguments"])) == ("orders__refund", {"number": "A-1", "cents": 50})
    assert asked["decision"] is None
    looked_up = site.get(f"/chat/turns/{body['turn_id']}", SHOP).json()
    assert (looked_up["state"], looked_up["waits_for"], looked_up["approvals"]) == ("running", "approval", [asked])

    wrong = site.decide(asked, SHOP, digest="0" * 32)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "approval_not_found")
    decided = site.decide(asked, SHOP)
    assert (decided.status_code, decided.json()["decision"], decided.json()["decided_by"]) == (200, "approved", "shop")
    assert site.decide(asked, SHOP).status_code == 200
    late = site.decide(asked, BOSS, "deny")
    assert (late.status_code, late.json()["error"]["code"]) == (409, "already_decided")

    events = parse(site.get(f"/chat/turns/{body['turn_id']}", {**SHOP, "Accept": "text/event-stream"}).text)
    assert events[-1][0] == "done"
    assert events[-1][1]["response"] == "Refunded."
    assert "refunded 50 for A-1" in site.outputs()


def test_a_stream_has_the_question_and_what_was_decided(site: Site) -> None:
    site.fake.script([Say("A moment."), REFUND], Say("It stays."))
    headers = {**SHOP, "Accept": "text/event-stream"}
    with httpx2.stream(
        "POST", f"{site.url}/chat", json={"message": "Refund it"}, headers=headers, timeout=30
    ) as stream:
        text, asked = "", None
        for piece in stream.iter_text():
            text += piece
            if asked is None and "event: approval" in text and text.endswith("\n\n"):
                asked = next(data for name, data in parse(text) if name == "approval")
                assert site.decide(asked, SHOP, "deny").status_code == 200
    events = parse(text)
    assert [data["decision"] for name, data in events if name == "approval"] == [None, "denied"]
    assert events[-1][0] == "done"
    assert events[-1][1]["response"] == "A moment.\n\nIt stays."
    assert "".join(data["text"] for name, data in events if name == "delta") == "A moment.\n\nIt stays."
    assert "denied it" in site.outputs()


def test_nobody_decides_whom_the_file_does_not_name(site: Site) -> None:
    site.fake.script(CallTool("calculate", {"expression": "6*7"}), Say("42."))
    body = site.post("/chat", {"message": "6 times 7?"}, SHOP).json()
    (asked,) = body["approvals"]
    refused = site.decide(asked, SHOP)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_approver")
    assert site.decide(asked, {}).status_code == 401
    assert site.get("/chat/approvals", SHOP).json() == {"approvals": []}
    assert site.get("/chat/approvals", BOSS).json() == {"approvals": [asked]}
    assert site.decide(asked, BOSS).status_code == 200
    parse(site.get(f"/chat/turns/{body['turn_id']}", {**SHOP, "Accept": "text/event-stream"}).text)
    assert "'42'" in site.outputs()
    assert site.get("/chat/approvals", BOSS).json() == {"approvals": []}


def test_what_need_not_be_approved_runs_at_once(site: Site) -> None:
    site.fake.script(CallTool("orders__find_order", {"number": "A-1"}), Say("It is on its way."))
    assert site.post("/chat", {"message": "Where is A-1?"}, SHOP).json()["response"] == "It is on its way."
    assert "order A-1 is on its way" in site.outputs()


def test_a_run_at_v1_waits_for_people_and_shows_no_tools_of_the_server(site: Site) -> None:
    site.fake.script(CallTool("calculate", {"expression": "6*7"}), Say("42."))
    asked = {"assistant_id": "default", "thread": {"messages": [{"role": "user", "content": "6 times 7?"}]}}
    own = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    run = site.post("/v1/threads/runs", {**asked, "tools": [own]}, BOSS).json()
    address = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    (question,) = until(lambda: site.get("/chat/approvals", BOSS).json()["approvals"])
    until(lambda: site.get(address, BOSS).json()["expires_at"] >= run["created_at"] + 3600)  # APPROVAL_MINUTES
    waiting = site.get(address, BOSS).json()
    assert (waiting["status"], waiting["required_action"]) == ("in_progress", None)
    assert site.get(f"{address}/steps", BOSS).json()["data"] == []
    assert site.decide(question, BOSS).status_code == 200
    until(lambda: site.get(address, BOSS).json()["status"] == "completed")
    assert [each["type"] for each in site.get(f"{address}/steps", BOSS).json()["data"]] == ["message_creation"]
    assert "'42'" in site.outputs()


def test_a_cancelled_turn_cannot_be_approved(site: Site) -> None:
    site.fake.script(REFUND)
    body = site.post("/chat", {"message": "Refund A-2"}, SHOP).json()
    (asked,) = body["approvals"]
    assert site.post(f"/chat/turns/{body['turn_id']}/cancel", {}, SHOP).status_code == 200
    assert site.decide(asked, SHOP).status_code == 409
    assert site.decide(asked, SHOP, "maybe").status_code == 400
