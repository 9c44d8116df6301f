"""Describes the routes of /chat for OpenAPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.http.chat_request import ChatForm, ChatRequest
from gateway.web.api import turn_events, views
from gateway.web.api.idempotency import key_doc
from gateway.web.api.openapi import Operation, ParameterDoc, ResponseDoc

SAY = """Say something. Waits for the reply. With `stream`, or when `Accept` asks for it, the reply comes as server-sent
events while it is written."""
STREAMED = """Events, each with JSON data: `turn` first; `delta` and `tool` while the reply is written; `approval`
when a call of a tool waits for somebody to approve it, and again when that is decided; at the end one
`done` (as without streaming), `error` (as any error), or `handed_over` where a person answers."""
WATCHED = """As `POST /chat` streams it, if `Accept` asks for events: the text so far first, then what follows. So a
stream that broke is continued; its text replaces what came before."""
HEADERS = (
    key_doc("The same key again returns the same turn, never a second one."),
    ParameterDoc("Prefer", "`respond-async`: answer at once, with where the turn can be fetched."),
)
RATE = "Rate a reply. A newer rating of the same author replaces the older one."
BEFORE = ParameterDoc("before", "A turn of the thread: only messages before it.", "query")
HAND_OVER = """Have a person answer in a thread instead of the assistant. What waits there is left to them."""
GIVE_BACK = """Have the assistant answer again. It answers what the person has not: follow the turn."""
HANDOVER = "/chat/threads/<thread_id>/handover"
TURN, THREAD, FILE = "/chat/turns/<turn_id>", "/chat/threads/<thread_id>", "/chat/files/<file_id>"
APPROVALS, APPROVAL = "/chat/approvals", "/chat/approvals/<approval_id>"
ASKED = "Which calls of tools wait for you to approve them. Oldest first."
DECIDE = """Approve or deny a call of a tool. It is bound to the arguments that `digest` names, and acts once; the turn
goes on when nothing is left to decide."""
ASSISTANTS = "List the assistants. Those that messages with this key may ask for."


class Rating(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    value: Literal["good", "bad"]


class GivenDecision(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["approve", "deny"]
    digest: str = Field(description="That of the approval, as you have it: what you decide about.", max_length=64)


class WaitingApprovals(BaseModel):
    approvals: list[views.ApprovalView]


def operations(request: type[ChatRequest]) -> Sequence[Operation]:
    """Returns the descriptions of all routes, none of them secured. ``request``: the model of a message's body."""
    replies = {
        200: ResponseDoc("The reply.", views.TurnReply, turn_events.EVENTS, STREAMED),
        202: ResponseDoc("The turn: begun, waiting for an approval, or left to a person.", views.TurnAccepted),
    }
    problems = (400, 401, 403, 404, 408, 409, 413, 415, 429, 502, 503, 504)
    rated = (400, 401, 404, 408, 413, 415, 429, 503)
    kept = (401, 404, 429, 502, 503, 504)
    watched = ResponseDoc("The turn.", views.TurnView, turn_events.EVENTS, WATCHED)
    turn, thread = ResponseDoc("The turn.", views.TurnView), ResponseDoc("The thread.", views.ThreadView)
    read = """Read the newest messages of a thread. For those before them pass the value of `earlier` as `?before=`.
A thread that only the backend knows is adopted by the name it has there."""
    listed = ResponseDoc("The assistants.", views.AssistantList)
    content = ResponseDoc("The file.", media_type="application/octet-stream")
    asked = ResponseDoc("What you may decide now.", WaitingApprovals)
    decided = ResponseDoc("It is decided.", views.ApprovalView)
    begun = ResponseDoc("The turn that does it.", views.TurnAccepted)
    forget = "Forget a thread. Here and at the backend; what runs in it is cancelled."
    return (
        Operation("chat", "POST", "/chat", SAY, replies, problems, request, ChatForm, HEADERS),
        Operation("list_assistants", "GET", "/chat/assistants", ASSISTANTS, {200: listed}, (401, 429)),
        Operation("show_turn", "GET", TURN, "Look a turn up.", {200: watched}, (401, 404, 429, 503)),
        Operation("cancel_turn", "POST", f"{TURN}/cancel", "Cancel a turn.", {200: turn}, (401, 404, 409, 429, 503)),
        Operation("rate_turn", "POST", f"{TURN}/feedback", RATE, {204: ResponseDoc("It is noted.")}, rated, Rating),
        Operation("list_approvals", "GET", APPROVALS, ASKED, {200: asked}, (401, 429, 503)),
        Operation("decide", "POST", APPROVAL, DECIDE, {200: decided}, (*rated, 403, 409), GivenDecision),
        Operation("show_file", "GET", FILE, "Download a file of a reply.", {200: content}, kept),
        Operation("show_thread", "GET", THREAD, read, {200: thread}, kept, parameters=(BEFORE,)),
        Operation("hand_over", "POST", HANDOVER, HAND_OVER, {202: begun}, (401, 404, 409, 429, 503)),
        Operation("give_back", "DELETE", HANDOVER, GIVE_BACK, {202: begun}, (401, 404, 429, 503)),
        Operation("forget_thread", "DELETE", THREAD, forget, {204: ResponseDoc("It is gone.")}, kept),
    )
