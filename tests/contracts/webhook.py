"""What every webhook must do. Subclass beside AdapterContract, which has the requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from gateway.domain.errors import GatewayError, MalformedRequest, Overloaded, StoreUnavailable, Unauthenticated
from gateway.ports.platform import HasWebhooks, Request, Webhook, WebhookResponse
from tests.contracts.adapter import TEXT, AdapterContract
from tests.fakes.recording_inbox import RecordingInbox


class WebhookContract(AdapterContract):
    """Give ``secret_setting`` as well: the setting that requests are verified with. The adapter is that of ``bot``."""

    secret_setting: str

    @pytest.fixture
    def bot(self) -> str:
        """The bot's name; empty for the one without."""
        return ""

    @pytest.fixture
    def inbox(self) -> RecordingInbox:
        return RecordingInbox()

    acknowledgement = WebhookResponse()
    """The answer to a message that is committed."""

    @pytest.fixture
    def webhooks(self, adapter: HasWebhooks, inbox: RecordingInbox) -> Sequence[Webhook]:
        found = adapter.webhooks(inbox.async_inbox)
        assert found
        return found

    async def test_a_message_is_committed_and_acknowledged(
        self, webhooks: Sequence[Webhook], inbox: RecordingInbox
    ) -> None:
        for webhook in webhooks:
            assert await webhook.handle(self.said(TEXT, "1")) == self.acknowledgement
        assert inbox.texts == [TEXT] * len(webhooks)

    @pytest.mark.parametrize("fault", [StoreUnavailable(), Overloaded(retry_after=7)])
    async def test_what_is_not_committed_is_not_acknowledged(
        self, webhooks: Sequence[Webhook], inbox: RecordingInbox, fault: GatewayError
    ) -> None:
        for webhook in webhooks:
            inbox.faults.append(fault)
            with pytest.raises(type(fault)) as caught:
                await webhook.handle(self.said(TEXT, "1"))
            assert caught.value is fault

    @pytest.mark.parametrize("bot", ["", "sales"])
    async def test_a_stranger_is_refused_and_the_log_names_the_setting(
        self, webhooks: Sequence[Webhook], inbox: RecordingInbox, bot: str
    ) -> None:
        key = self.secret_setting.partition("_")[2].lower()
        wanted = f"{key} of the bot {bot}" if bot else self.secret_setting
        forged: Sequence[Request] = self.forged()
        for request in forged:
            with capture_logs() as logs, pytest.raises(Unauthenticated):
                await webhooks[0].handle(request)
            named = [entry["setting"] for entry in logs if "setting" in entry]  # other threads log at the same time
            assert named == [wanted]
            assert TEXT not in str(logs)
        assert forged
        assert inbox.taken == []

    async def test_an_unreadable_request_is_refused_and_not_committed(
        self, webhooks: Sequence[Webhook], inbox: RecordingInbox
    ) -> None:
        for request in self.garbage():
            with pytest.raises(MalformedRequest):
                await webhooks[0].handle(request)
        assert inbox.taken == []
