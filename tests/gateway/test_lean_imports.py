"""Parts of libraries are imported alone, and what was left out is there for whoever asks for it later."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    """Runs code in a Python that has loaded nothing yet; returns what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_sdk_is_loaded_without_its_types() -> None:
    loaded = run(
        "import sys; from gateway.assistants import factory\n"
        "print(sum(name.startswith('openai.types') for name in sys.modules), 'openai.resources' in sys.modules)"
    )
    count, has_resources = loaded.split()
    assert int(count) < 50
    assert has_resources == "False"


def test_a_tool_that_imports_the_sdk_gets_all_of_it() -> None:
    code = (
        "from gateway.assistants import sdk\n"
        "import openai\n"
        "try:\n"
        "    asked = openai.OpenAI(api_key='k', base_url='http://127.0.0.1:9', max_retries=0)\n"
        "    asked.chat.completions.create(model='m', messages=[])\n"
        "except openai.APIConnectionError:\n"
        "    pass\n"
        "from openai import OpenAI, types\n"
        "from openai.types.responses import Response\n"
        "assert openai.AsyncOpenAI is sdk.AsyncOpenAI and openai.BadRequestError is sdk.BadRequestError\n"
        "assert types.chat.ChatCompletion and not hasattr(openai, 'nonsense')\n"
        "print(type(OpenAI(api_key='k').responses).__name__)"
    )
    assert run(code) == "Responses"


def test_what_was_loaded_whole_stays_as_it_is() -> None:
    assert (
        run("import openai; from gateway.assistants import sdk; print(openai.OpenAIError is sdk.OpenAIError)") == "True"
    )


def test_logs_do_not_load_a_library_for_terminals_and_it_can_be_loaded_afterwards() -> None:
    assert run("import sys, gateway.logs; print('rich' in sys.modules); import rich.console") == "False"


def test_a_server_does_without_pages_and_openai_s_api_until_something_of_them_is_asked_for() -> None:
    late = "{'flask', 'jinja2', 'adapters.openai_api.all_routes', 'adapters.openai_api.assistants.bodies'}"
    assert run(f"import sys, gateway.cli.main; print({late} & set(sys.modules))") == "set()"


def test_slack_does_without_the_pages_of_its_installation_until_one_is_asked_for() -> None:
    late = "{'flask', 'slack_bolt', 'adapters.slack.oauth'}"
    assert run(f"import sys, adapters.slack.adapter; print({late} & set(sys.modules))") == "set()"
