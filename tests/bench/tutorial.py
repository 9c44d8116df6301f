"""Baseline: a typical tutorial on the Assistants API: plain Flask, nothing stored, polling once a second.

Favourable to it: the SDK's client is created once, the first poll comes at once as in the SDK's own
``create_and_poll``, and a server with enough threads runs it. ``sleep_first`` sleeps before polling, as many do.
"""

from __future__ import annotations

import time

import flask
import openai
from flask.typing import ResponseReturnValue

ENDED = frozenset({"completed", "failed", "cancelled", "expired", "incomplete", "requires_action"})


def make_app(base_url: str, assistant_id: str, *, sleep_first: bool = False) -> flask.Flask:
    app = flask.Flask(__name__)
    client = openai.OpenAI(api_key="sk-test", base_url=base_url)

    @app.post("/chat")
    def chat() -> ResponseReturnValue:
        asked = flask.request.get_json()
        thread_id = asked.get("thread_id") or client.beta.threads.create().id
        client.beta.threads.messages.create(thread_id=thread_id, role="user", content=asked["message"])
        run = client.beta.threads.runs.create(thread_id=thread_id, assistant_id=assistant_id)
        if not sleep_first:
            run = client.beta.threads.runs.retrieve(run.id, thread_id=thread_id)
        while run.status not in ENDED:
            time.sleep(1)
            run = client.beta.threads.runs.retrieve(run.id, thread_id=thread_id)
        newest = client.beta.threads.messages.list(thread_id=thread_id).data[0]
        text = "".join(part.text.value for part in newest.content if part.type == "text")
        return {"response": text, "thread_id": thread_id}

    return app
