"""What Slack shows under a conversation while a turn runs: that the assistant is at work, and a button to stop it."""

from __future__ import annotations

from adapters.base.capabilities import Capabilities
from adapters.base.errors import OutcomeUnknown, Rejected
from adapters.slack.api_client import SlackClient
from adapters.slack.capabilities import SlackCapability, learn
from adapters.slack.posted_reply import SlackReply
from adapters.slack.reply_target import SlackTarget
from gateway import logs
from gateway.domain.errors import DeliveryError
from gateway.ports.platform import DeliveryContext

END_MAX_WAIT = 5.0
"""Seconds that a token for the last call may take: a button that is not removed stays for an hour."""

log = logs.get_logger(__name__)


class SlackStatus:
    """Sets the status. It is never worth waiting for, and raises nothing.

    There are two ways, which share one slot at Slack, in which the last call counts: a line of text, anywhere; and, if
    the app is an agent, a state with which Slack shows its own text and button.
    """

    def __init__(
        self,
        client: SlackClient,
        target: SlackTarget,
        delivery: DeliveryContext,
        reply: SlackReply,
        capabilities: Capabilities,
        *,
        direct: bool,
    ) -> None:
        """``direct``: whether it is a direct message with the agent."""
        self._client = client
        self._target = target
        self._delivery = delivery
        self._reply = reply
        self._capabilities = capabilities
        self._direct = direct
        self._has_button = False

    async def show(self, text: str) -> None:
        """Shows a text until something is posted, or for two minutes."""
        before, self._reply.status = self._reply.status, True
        if await self._set_text(text, max_wait=0.0):
            self._reply.status = True  # again: it may have come after what was posted meanwhile
        else:
            self._reply.status = before

    async def show_button(self) -> bool:
        """Makes Slack show its button. Returns whether it does."""
        if self._direct and not (self._has_button and self._reply.processing):  # the end of a stream takes it away
            before, self._reply.processing = self._reply.processing, True
            self._has_button = await self._set_state("processing", max_wait=0.0)
            self._reply.processing = self._has_button or before
        return self._has_button

    async def end(self) -> None:
        """Removes what Slack still shows of it."""
        if self._reply.processing:
            self._reply.processing = not await self._set_state("active", max_wait=END_MAX_WAIT)
        if self._reply.status:
            self._reply.status = not await self._set_text("", max_wait=END_MAX_WAIT)

    async def _set_text(self, text: str, *, max_wait: float) -> bool:
        return await self._set("assistant.threads.setStatus", text, SlackCapability.STATUS, max_wait)

    async def _set_state(self, state: str, *, max_wait: float) -> bool:
        return await self._set("agents.sessions.setStatus", state, SlackCapability.SESSION, max_wait)

    async def _set(self, method: str, status: str, capability: SlackCapability, max_wait: float) -> bool:
        """Returns whether it was done, or may have been."""
        workspace = self._target.workspace
        if not self._target.thread_ts or not self._capabilities.has(workspace.team, capability):
            return False
        args = {"channel_id": self._target.channel, "thread_ts": self._target.thread_ts, "status": status}
        try:
            await self._client.call(method, args, workspace=workspace, delivery=self._delivery, max_wait=max_wait)
        except Rejected as exc:
            learn(self._capabilities, workspace.team, capability, exc)
            log.debug("no status", method=method, error=str(exc))
            return False
        except DeliveryError as exc:
            log.debug("no status", method=method, error=str(exc))
            return isinstance(exc, OutcomeUnknown)
        return True
