"""The console: what is typed becomes a message, and what comes of it is shown as it happens."""

from __future__ import annotations

import io
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from adapters.console.adapter import ConsoleAdapter
from adapters.console.chat_command import command, talk
from gateway.domain.command_lines import gateway_command
from gateway.domain.errors import AssistantRefused, Conflict, Overloaded
from gateway.domain.exchange import Exchange
from gateway.domain.models import ConversationKey, Message, MessageKind, ThreadId, Turn, TurnId
from gateway.domain.run_events import RunCompleted, TextDelta, ToolCall
from gateway.domain.sentences import sentence
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Adapter, DeliveryContext, Request
from gateway.worker.worker import run_once
from tests.adapters.talk import Talk, answering
from tests.contracts.adapter import AdapterContract
from tests.fakes.inbox import InboxStep, ScriptGate, echo


def request(text: bytes, mark: str = "1") -> Request:
    return Request({"thread": "thr_1", "message-id": mark, "author": "ann"}, text)


class TestConsole(AdapterContract):
    @pytest.fixture
    def adapter(self) -> Adapter:
        return ConsoleAdapter(Console(file=io.StringIO()), streaming=True)

    def said(self, text: str, mark: str) -> Request:
        return request(text.encode(), mark)

    def genuine(self, body: bytes) -> Request:
        return request(body)

    def garbage(self) -> Sequence[Request]:
        return (request(b"\xff\xfe"), request(b"nul \0"), request(b""), request(b" \t "), Request({}, b"of no thread"))


@pytest.fixture
def piped() -> Iterator[Talk]:
    piped = Talk()
    yield piped
    piped.close()


# ---------------------------------------------------------------- what is typed


def test_a_line_is_a_message_of_its_thread() -> None:
    (message,) = ConsoleAdapter(Console(), streaming=True).receive(request(b"hello")).messages
    assert message == Message(ConversationKey("console", channel="thr_1"), "1", "hello", "ann")


def test_an_empty_message_is_a_hint_and_not_a_turn(piped: Talk) -> None:
    assert "There is nothing in this message" in piped.says("  \t", "hello")
    assert [turn.message.text for turn in piped.turns()] == ["hello"]


@pytest.mark.parametrize("ending", ["", "exit", "quit", " EXIT "])
def test_an_ending_ends(ending: str, piped: Talk) -> None:
    piped.says("hello", ending, "never said")
    assert piped.left == ["never said"]
    assert len(piped.turns()) == 1


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_ctrl_d_and_ctrl_c_at_the_prompt_end(end: type[BaseException], piped: Talk) -> None:
    def read() -> str:
        raise end

    assert talk(run_once, piped.inbox, piped.adapter, thread=None, user="ann", backend="the fake", read_line=read) == 0


def test_messages_are_of_one_conversation_and_say_who_wrote_them(piped: Talk) -> None:
    piped.says("one", "two")
    first, second = piped.turns()
    assert first.message.key == second.message.key
    assert (first.seq, second.seq) == (1, 2)
    assert first.message.author == "ann"


# ---------------------------------------------------------------- what is shown


def test_it_greets_and_tells_how_to_come_back(piped: Talk) -> None:
    shown = piped.says("hello")
    thread = piped.turns()[0].message.key.channel
    assert re.fullmatch(r"thr_[0-9a-f]{24}", thread)
    assert shown.startswith("Talking to the fake.\n")
    assert f"{gateway_command(f'chat --thread {thread}')}\n" in shown
    assert shown.endswith("You said: hello\n\n")


def test_a_pipe_gets_text_as_it_comes(piped: Talk) -> None:
    gate = ScriptGate()
    piped.inbox.script = answering(TextDelta("**first**"), gate, TextDelta(" second"), RunCompleted("**first** second"))

    def look() -> None:
        gate.wait_until_reached()
        piped.file.wait_for("ends.\n\n**first**")
        gate.open()

    looking = threading.Thread(target=look)
    looking.start()
    assert piped.says("hello").endswith("ends.\n\n**first** second\n\n")
    looking.join()


def test_without_streaming_a_reply_is_shown_once(piped: Talk) -> None:
    piped.adapter.streaming = False
    piped.inbox.script = answering(TextDelta("pre"), ToolCall("c", "clock", done=True), RunCompleted("whole"))
    assert piped.says("hello").endswith("ends.\n\nwhole\n\n")


def test_a_reply_that_came_out_different_is_shown_again(piped: Talk) -> None:
    piped.inbox.script = answering(TextDelta("a draft"), RunCompleted("the reply"))
    assert piped.says("hello").endswith("a draft\nthe reply\n\n")


def test_a_turn_that_another_process_works_on_is_shown_when_it_is_over(piped: Talk) -> None:
    piped.inbox.claimed_here = False
    assert piped.says("hello").endswith("You said: hello\n\n")


def test_tools_are_shown_as_they_are_used(piped: Talk) -> None:
    code = "import math\nprint(math.pi)"
    piped.inbox.script = answering(
        TextDelta("Let me see"),
        ToolCall("1", "code_interpreter"),
        ToolCall("1", "code_interpreter", code),
        ToolCall("1", "code_interpreter", code, "3.14\n", done=True),
        ToolCall("2", "quiet", done=True),
        TextDelta("It is 3.14."),
        RunCompleted("It is 3.14."),
    )
    assert piped.says("pi?").endswith(
        "Let me see\n"
        "[tool] code_interpreter\n  | import math\n  | print(math.pi)\n[tool] code_interpreter is done:\n  | 3.14\n"
        "[tool] quiet\n[tool] quiet is done\n"
        "It is 3.14.\n\n"
    )


def test_what_a_tool_says_too_much_is_left_out(piped: Talk) -> None:
    piped.inbox.script = answering(
        ToolCall("1", "long", "\n".join(["line"] * 100), "x" * 10_000, done=True), RunCompleted("done")
    )
    shown = piped.says("go")
    assert shown.count("  | line\n") == 40
    assert shown.count("  | ...\n") == 2
    assert len(shown) < 6000


def test_a_failure_is_told_in_its_sentence(piped: Talk) -> None:
    piped.inbox.script = answering(AssistantRefused("internal detail", user_message=sentence("That is not possible.")))
    shown = piped.says("hello")
    assert "That is not possible.\n" in shown
    assert "internal" not in shown


@pytest.mark.parametrize(("terminal", "status"), [(False, 1), (True, 0)])
def test_a_program_learns_that_a_message_got_no_reply(*, terminal: bool, status: int) -> None:
    with closing(Talk(terminal=terminal)) as talking:
        talking.inbox.script = answering(AssistantRefused("internal detail"))
        talking.says("hello")
        assert talking.status == status
        talking.inbox.script, talking.inbox.fault = answering(), Overloaded("Too much to do.")
        talking.says("hello")
        assert talking.status == status


def test_a_message_that_is_not_taken_is_told_and_the_talk_goes_on(piped: Talk) -> None:
    piped.inbox.fault = Overloaded("Too much to do.")
    lines = iter(["one", "two"])

    def read() -> str:
        line = next(lines, "")
        if line == "two":
            piped.inbox.fault = None
        return line

    talk(run_once, piped.inbox, piped.adapter, thread=None, user="ann", backend="the fake", read_line=read)
    shown = piped.file.getvalue()
    assert "Too much to do.\n" in shown
    assert shown.endswith("You said: two\n\n")


# ---------------------------------------------------------------- coming back


def test_a_thread_is_resumed_after_its_earlier_messages(piped: Talk) -> None:
    piped.says("hello")
    thread = piped.turns()[0].message.key.channel
    piped.file.truncate(0)
    shown = piped.says("again", thread=thread)
    assert "> hello\nYou said: hello\n\nYou said: again\n" in shown
    assert [turn.conversation_id for turn in piped.turns()] == [piped.turns()[0].conversation_id] * 2


def test_a_thread_of_the_backends_own_is_taken_up(piped: Talk) -> None:
    piped.inbox.at_backend[ThreadId("conv_1")] = (Exchange("What was said?", "This was."),)
    assert "> What was said?\nThis was.\n" in piped.says(thread="conv_1")
    assert piped.status == 0


def test_a_thread_is_also_known_by_the_backends_name_for_it(piped: Talk) -> None:
    piped.says("hello")
    (thread,) = (conversation.thread_id for conversation in piped.inbox._conversations.values())
    assert "> hello\n" in piped.says("again", thread=thread)
    assert len({turn.message.key for turn in piped.turns()}) == 1


def test_an_unknown_thread_is_said_to_be_one(piped: Talk) -> None:
    shown = piped.says("never said", thread="thr_nowhere\x1b[31m")
    assert "There is no thread thr_nowhere[31m here." in shown
    assert piped.status == 1
    assert piped.left == ["never said"]


def test_a_turn_that_is_not_over_yet_is_waited_for(piped: Talk) -> None:
    gate = ScriptGate()
    piped.inbox.script = answering(gate, RunCompleted("at last"))
    key = ConversationKey("console", channel="thr_1")
    piped.inbox.accept(Message(key, "1", "are you there?"))
    gate.wait_until_reached()
    gate.open()
    assert piped.says(thread="thr_1").endswith("> are you there?\nat last\n\n")


# ---------------------------------------------------------------- Ctrl-C


@contextmanager
def interrupted(gate: ScriptGate) -> Iterator[None]:
    """Ctrl-C is pressed when the assistant comes to the gate."""

    def press() -> None:
        gate.wait_until_reached()
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    yield
    pressing.join()


def test_ctrl_c_cancels_what_runs_and_returns_to_the_prompt(piped: Talk) -> None:
    gate = ScriptGate()

    def script(turn: Turn) -> Sequence[InboxStep]:
        return echo(turn) if turn.seq > 1 else (gate, RunCompleted("too late"))

    piped.inbox.script = script
    with interrupted(gate):
        shown = piped.says("stop me", "and now?")
    assert shown.endswith("Cancelled.\n\nYou said: and now?\n\n")
    assert piped.turns()[0].state == "cancelled"


def test_a_reply_that_was_faster_than_ctrl_c_is_shown(piped: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ScriptGate()
    delivered = threading.Event()
    piped.inbox.script = answering(gate, RunCompleted("just in time"))

    async def deliver(turn: Turn, delivery: DeliveryContext) -> None:
        assert turn.state.is_resolved
        delivered.set()

    def cancel(turn: TurnId) -> Turn:
        gate.open()
        assert delivered.wait(20)
        raise Conflict(f"The turn {turn} is answered already.")

    monkeypatch.setattr(piped.adapter, "deliver", deliver)
    monkeypatch.setattr(piped.inbox, "cancel_turn", cancel)
    with interrupted(gate):
        assert piped.says("stop me").endswith("just in time\n\n")


# ---------------------------------------------------------------- the command


def run(talk: Talk, *arguments: str, typed: str = "") -> Result:
    @contextmanager
    def open_inbox(adapter: ConsoleAdapter) -> Iterator[tuple[Inbox, str]]:
        talk.inbox.adapter = adapter
        yield talk.inbox, "the fake"

    return CliRunner().invoke(command(open_inbox, run_once), arguments, input=typed)


def test_the_command_reads_what_is_piped_into_it(piped: Talk) -> None:
    result = run(piped, "--user", "bob", typed="hello\nexit\n")
    assert result.exit_code == 0
    assert result.output.endswith("You said: hello\n\n")
    assert piped.turns()[0].message.author == "bob"


def test_the_command_names_the_person_by_the_login(piped: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "carol")
    run(piped, "--no-stream", typed="hello")
    assert piped.turns()[0].message.author == "carol"


def test_somebody_without_a_login_is_somebody(piped: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    run(piped, typed="hello")
    assert piped.turns()[0].message.author == "somebody"


def test_the_command_fails_for_an_unknown_thread(piped: Talk) -> None:
    result = run(piped, "--thread", "thr_nowhere", typed="hello\n")
    assert result.exit_code == 1
    assert "There is no thread thr_nowhere here." in result.output


def test_a_command_chooses_an_assistant() -> None:
    adapter = ConsoleAdapter(Console(), streaming=True)
    kinds = [adapter.receive(request(line)).messages[0].kind for line in (b"/assistant support", b"assistants", b"hi")]
    assert kinds == [MessageKind.CHOOSE, MessageKind.CHOOSE, MessageKind.PROMPT]
    lines = (b"/human", b" /resume ", b"human")
    kinds = [adapter.receive(request(line)).messages[0].kind for line in lines]
    assert kinds == [MessageKind.HAND_OVER, MessageKind.RESUME, MessageKind.PROMPT]
