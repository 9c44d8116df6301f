"""Programs that speak OpenAI's API get answers here: its SDK for Node, litellm and llm, each as it comes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.npm import NpmPackage, NpmUnavailable
from tests.conformance.pypi import PypiPrograms, WheelUnavailable
from tests.conformance.serve_process import GatewayServeProcess, free_port
from tests.fakes.openai_server import CallTool, FakeOpenAI, Say

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]
NODE_SDK = NpmPackage(
    "openai",
    "7.59.0",
    "sha512-wPYKJkLPFEdNJ2tThSg4jE1Ptsv4X3u8g8LIvu0Qz/UIhsKeCzl73rl48PtQsDVrJL/ku0liXOsbyd2TsRsPJw==",
)
PROGRAMS = PypiPrograms("openai-programs", ("litellm==1.110.2", "llm==0.36"))
KEY = "sk-ours"
TIMEOUT_SECONDS = 120.0

LITELLM = """
import json, sys, litellm
where = dict(api_base=sys.argv[1], api_key=sys.argv[2], model="openai/default")
messages = [{"role": "user", "content": "Hello"}]
got = {"completion": litellm.completion(messages=messages, **where).choices[0].message.content}
chunks = list(litellm.completion(messages=messages, stream=True, stream_options={"include_usage": True}, **where))
got["streamed"] = litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message.content
got["response"] = litellm.responses(input="Hello", **where).output[0].content[0].text
weather = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
tools = [{"type": "function", "function": weather}]
called = litellm.completion(messages=[{"role": "user", "content": "weather"}], tools=tools, **where)
got["call"] = called.choices[0].message.tool_calls[0].function.name
print(json.dumps(got))
"""


@dataclass(frozen=True)
class Site:
    url: str
    fake: FakeOpenAI
    folder: Path


@pytest.fixture(scope="module", params=["chat", "responses"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("clients"), free_port()
    with FakeOpenAI() as fake:
        settings = {"ASSISTANT_BACKEND": request.param, "GATEWAY_API_KEYS": KEY}
        with closing(GatewayServeProcess(folder, fake, port, **settings)):
            yield Site(f"http://127.0.0.1:{port}/v1", fake, folder)


@pytest.fixture(scope="module")
def programs() -> Path:
    try:
        return PROGRAMS.ensure_installed()
    except WheelUnavailable as reason:
        pytest.skip(f"litellm and llm are not available: {reason}")


def output_of(site: Site, *command: str | Path, said: str = "", **environment: str) -> str:
    known: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(site.folder), **environment}
    done = subprocess.run(
        [*map(str, command)],
        cwd=site.folder,
        env=known,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sdk_for_node(site: Site) -> None:
    try:
        sdk = NODE_SDK.ensure_installed()
    except NpmUnavailable as reason:
        pytest.skip(f"OpenAI's SDK for Node is not available: {reason}")
    call = CallTool("weather", {"city": "Rome"})
    site.fake.script(Say(), Say(), call, Say("It is sunny."))
    got = json.loads(output_of(site, "node", Path(__file__).with_name("openai_node.mjs"), sdk, site.url, KEY))
    assert got.pop("events")[0::8] == ["response.created", "response.completed"]
    assert got == {
        "models": ["default"],
        "completion": "You said: Hello",
        "streamed": "You said: Hello",
        "usage": True,
        "ran": "It is sunny.",
        "response": "You said: two",
        "items": ["I am Ann", "You said: I am Ann"],
        "error": [404, "model_not_found"],
    }


def test_litellm(site: Site, programs: Path) -> None:
    site.fake.script(Say(), Say(), Say(), CallTool("weather", {"city": "Rome"}))
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    got = json.loads(output_of(site, programs / "python", "-c", LITELLM, site.url, KEY, **offline).splitlines()[-1])
    said = "You said: Hello"
    assert got == {"completion": said, "streamed": said, "response": said, "call": "weather"}


def test_llm_goes_on_with_a_conversation(site: Site, programs: Path) -> None:
    settings = site.folder / "llm"
    settings.mkdir(exist_ok=True)
    model = {"model_id": "ours", "model_name": "default", "api_base": site.url, "api_key_name": "ours"}
    (settings / "extra-openai-models.yaml").write_text(json.dumps([model]))
    (settings / "keys.json").write_text(json.dumps({"ours": KEY}))
    command = (programs / "llm", "prompt", "-m", "ours")
    environment = {"LLM_USER_PATH": str(settings)}
    assert output_of(site, *command, "Hello", **environment).strip() == "You said: Hello"
    assert output_of(site, *command, "-c", "Again", "--no-stream", **environment).strip() == "You said: Again"
    body = site.fake.requests[-1].body
    texts = [each["content"] for each in body.get("messages", body.get("input", [])) if each["role"] == "user"]
    assert texts == ["Hello", "Again"]
