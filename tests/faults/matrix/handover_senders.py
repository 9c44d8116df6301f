"""People in Slack whose conversations a member of the staff takes over, in a channel of the same workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gateway.worker.answering.commands import HANDED_OVER_REPLY, RESUMED_REPLY
from tests.fakes.slack_events import TEAM
from tests.fakes.slack_state import SlackMessageView
from tests.faults.matrix.scoring import SentMessages, reply_to
from tests.faults.matrix.senders import TIMEOUT_SECONDS, SlackSenders, run_in_threads
from tests.faults.matrix.sync_point import SyncPoint

STAFF = "G0GROUP"
ANSWERS_IN = (0, 1)
"""The conversations in which the staff answers; what is not answered is left to the assistant at the end."""


class HandoverSenders(SlackSenders):
    """The assistant answers the first message of each conversation. Then a person is asked for; the staff answers the
    second message in two of the conversations, and gives all of them back. Where it answers, it says what the assistant
    would.
    """

    CHANNELS = ("C0CHAN", "C0ONE", "C0TWO")

    def __init__(self, sync: SyncPoint) -> None:
        """``sync``: counts nothing before the conversations are handed over."""
        super().__init__()
        self._sync = sync
        self._first: list[str] = []
        self._held: list[str] = []
        """The messages that are left to the staff."""

    def environment(self, port: int) -> Mapping[str, str]:
        staff = {"HANDOVER_CHANNEL": f"slack:{TEAM}/{STAFF}", "SLACK_FEEDBACK": "false"}
        return {**super().environment(port), **staff}

    def send_all(self, messages: SentMessages) -> None:
        pairs = list(zip(self.CHANNELS, messages, strict=True))
        run_in_threads([partial(self._begin, channel, texts[0]) for channel, texts in pairs])
        self._sync.arm()
        numbered = enumerate(pairs)
        run_in_threads([partial(self._hand_over, number, channel, texts) for number, (channel, texts) in numbered])

    def _begin(self, channel: str, text: str) -> None:
        self._first.append(text)
        self._send_conversation(channel, [text])
        self._wait(partial(self._has_said, channel, reply_to(text)))

    def _hand_over(self, number: int, channel: str, texts: Sequence[str]) -> None:
        begun, *others = texts
        self._say("human", channel, self._roots[channel], mention=True)
        topic = self._topic_of(begun)
        for text in others:
            self._held.append(text)
            self._send_conversation(channel, [text])
            self._wait(partial(self._is_shown, text, topic))
            if number in ANSWERS_IN and text == others[0]:
                self._say(reply_to(text), STAFF, topic)
                self._wait(partial(self._has_said, channel, reply_to(text)))
        self._say("resume", STAFF, topic)
        is_answered = number in ANSWERS_IN and len(others) == 1
        last = RESUMED_REPLY if is_answered else reply_to(others[-1])
        self._wait(partial(self._has_said, channel, last))

    def _say(self, text: str, channel: str, topic: str, *, mention: bool = False) -> None:
        ts = self._slack.user_says(text, channel=channel, thread_ts=topic, mention=mention)
        self._wait(partial(self._is_accepted, ts))

    def _topic_of(self, begun: str) -> str:
        """Waits for the message that begins the topic of a conversation; returns its ts."""
        self._wait(lambda: any(begun in each.text for each in self._roots_of_topics()))
        return next(each.ts for each in self._roots_of_topics() if begun in each.text)

    def _roots_of_topics(self) -> list[SlackMessageView]:
        return [each for each in self._slack.bot_messages(STAFF) if not each.thread_ts or each.thread_ts == each.ts]

    def _is_shown(self, text: str, topic: str) -> bool:
        return any(text in each.text for each in self._slack.bot_messages(STAFF, topic) if each.ts != topic)

    def _wait(self, reached: Callable[[], bool]) -> None:
        self._slack.wait_until(reached, TIMEOUT_SECONDS)

    def _has_said(self, channel: str, text: str) -> bool:
        return text in self._said(channel)

    def _said(self, channel: str) -> list[str]:
        return self._texts(channel, self._roots.get(channel, ""))

    def replies(self) -> Sequence[Sequence[str]]:
        """Returns the replies without one notice of each kind: what comes twice is out of place."""
        return [_without(self._said(channel), (HANDED_OVER_REPLY, RESUMED_REPLY)) for channel in self.CHANNELS]

    def stray_messages(self) -> int:
        """Returns how many messages of the staff's channel are missing, or there twice, or of no use."""
        posted = self._slack.bot_messages(STAFF)
        roots = {each.ts for each in self._roots_of_topics()}
        begun = Counter(text for text in self._first for each in posted if each.ts in roots and text in each.text)
        shown = Counter(text for text in self._held for each in posted if each.ts not in roots and text in each.text)
        counts = [begun[text] for text in self._first] + [shown[text] for text in self._held]
        useless = abs(len(posted) - len(counts))
        elsewhere = len(self._slack.bot_messages()) - len(posted) - sum(len(self._said(each)) for each in self.CHANNELS)
        return sum(abs(count - 1) for count in counts) + useless + elsewhere


def _without(texts: Sequence[str], notices: Sequence[str]) -> list[str]:
    left, kept = list(notices), []
    for text in texts:
        if text in left:
            left.remove(text)
        else:
            kept.append(text)
    return kept
