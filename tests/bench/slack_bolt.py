"""Baseline: Bolt for Python in Flask as commonly used, threads in a dict, the assistant called in the listener.

Favourable to Bolt: clients are created once, one call gets the reply, and events are neither stored nor deduplicated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import openai
from flask.typing import ResponseReturnValue
from slack_bolt import App
from slack_bolt.adapter.flask import SlackRequestHandler
from slack_sdk import WebClient

from tests.fakes.slack_events import SIGNING_SECRET, TOKEN


def make_app(openai_url: str, slack_url: str) -> flask.Flask:
    bolt = App(signing_secret=SIGNING_SECRET, client=WebClient(TOKEN, base_url=f"{slack_url}/api/"))
    assistant = openai.OpenAI(api_key="sk-test", base_url=openai_url)
    threads: dict[str, str] = {}

    @bolt.event("message")
    def answer(event: dict[str, Any], say: Callable[..., object]) -> None:
        topic = event.get("thread_ts") or event["ts"]
        said = assistant.responses.create(
            model="gpt-test", input=event["text"], previous_response_id=threads.get(topic)
        )
        threads[topic] = said.id
        say(text=said.output_text, thread_ts=topic)

    app = flask.Flask(__name__)
    handler = SlackRequestHandler(bolt)

    @app.post("/slack/events")
    def events() -> ResponseReturnValue:
        return handler.handle(flask.request)

    return app
