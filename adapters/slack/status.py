"""What Slack shows under a conversation while a turn runs: that the assistant is at work, and a button to stop it."""

from __future__ import annotations

from adapters.slack.abilities import Abilities, Ability
from adapters.slack.calls import Calls
from adapters.slack.errors import Declined, Unsure
from adapters.slack.places import Place
from adapters.slack.standing import Standing
from gateway import logs
from gateway.errors import DeliveryError
from gateway.ports import Outbox

AT_THE_END = 5.0
"""Seconds that a place for the last word may take: a button that nobody takes away stays for an hour."""

log = logs.get(__name__)


class Status:
    """Nothing of it is worth waiting for, and nothing of it is raised.

    There are two ways, and one slot for both in which the last word stands: a line of text, anywhere; and, where the
    app is an agent, a state with which Slack shows words and a button of its own.
    """

    def __init__(
        self, calls: Calls, place: Place, outbox: Outbox, standing: Standing, abilities: Abilities, *, direct: bool
    ) -> None:
        """``direct``: whether this is where people and an agent talk with each other alone."""
        self._calls = calls
        self._place = place
        self._outbox = outbox
        self._standing = standing
        self._abilities = abilities
        self._direct = direct

    async def say(self, words: str) -> None:
        """Until something is posted, or for two minutes."""
        before, self._standing.status = self._standing.status, True
        if await self._set_words(words, patience=0.0):
            self._standing.status = True  # again: it may have come after what was posted meanwhile
        else:
            self._standing.status = before

    async def process(self) -> bool:
        """Let Slack show its button. Whether it does."""
        if self._direct and not self._standing.processing:
            self._standing.processing = True
            self._standing.processing = await self._set_state("processing", patience=0.0)
        return self._standing.processing

    async def end(self) -> None:
        """Take away what Slack still shows of it."""
        if self._standing.processing:
            self._standing.processing = not await self._set_state("active", patience=AT_THE_END)
        if self._standing.status:
            self._standing.status = not await self._set_words("", patience=AT_THE_END)

    async def _set_words(self, words: str, *, patience: float) -> bool:
        return await self._set("assistant.threads.setStatus", words, Ability.STATUS, patience)

    async def _set_state(self, state: str, *, patience: float) -> bool:
        return await self._set("agents.sessions.setStatus", state, Ability.SESSION, patience)

    async def _set(self, method: str, status: str, ability: Ability, patience: float) -> bool:
        """Whether it was done, or may have been."""
        workspace = self._place.workspace
        if not self._place.thread_ts or not self._abilities.has(workspace.team, ability):
            return False
        args = {"channel_id": self._place.channel, "thread_ts": self._place.thread_ts, "status": status}
        try:
            await self._calls.call(method, args, workspace=workspace, outbox=self._outbox, patience=patience)
        except Declined as exc:
            self._abilities.learn(workspace.team, ability, exc)
            log.debug("no status", method=method, error=str(exc))
            return False
        except DeliveryError as exc:
            log.debug("no status", method=method, error=str(exc))
            return isinstance(exc, Unsure)
        return True
