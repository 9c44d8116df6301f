"""A tool call always ends with text for the model, and never blocks anything else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools import Tool, ToolBox, tool
from gateway.tools.toolbox import MAX_RESULT_CHARS


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool
async def later(word: str) -> str:
    """Say it later."""
    await asyncio.sleep(0)
    return word


def result_of(value: object) -> Tool:
    @tool
    def give() -> Any:
        """Give it."""
        return value

    return give


def raising(exc: BaseException) -> Tool:
    @tool
    def fail() -> None:
        """Fail."""
        raise exc

    return fail


def raising_later(exc: BaseException) -> Tool:
    @tool
    async def fail() -> None:
        """Fail."""
        raise exc

    return fail


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_the_schemas_describe_the_tools() -> None:
    (schema,) = ToolBox([add]).schemas
    assert schema == {"name": "add", "description": "Add two numbers.", "parameters": add.parameters}


def test_two_tools_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="same name"):
        ToolBox([add, add])


async def test_a_function_and_a_coroutine_are_called_alike() -> None:
    box = ToolBox([add, later])
    assert (await box.call("add", '{"a": 2}')).text == "3"
    assert (await box.call("later", '{"word": "hello"}')).text == "hello"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (1.5, "1.5"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ({1}, "[1]"),
        (complex(1, 2), '"1+2j"'),
        ("\ud800", "?"),
    ],
)
async def test_a_result_becomes_text(value: object, text: str) -> None:
    assert (await ToolBox([result_of(value)]).call("give", "")).text == text


async def test_a_long_result_is_cut_and_says_so() -> None:
    text = (await ToolBox([result_of("x" * (MAX_RESULT_CHARS + 1))]).call("give", "")).text
    assert text.startswith("x" * MAX_RESULT_CHARS + "\n[The result was cut here")
    assert len(text) < MAX_RESULT_CHARS + 100


async def test_an_unknown_tool_gets_the_list_of_tools() -> None:
    assert (await ToolBox([add]).call("subtract", "{}")).text == "There is no tool 'subtract'. The tools are: add."


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("[", "not valid JSON. Send one JSON object with: a, b."),
        ("“smart”", "not valid JSON"),
        ('{"b": 1}', "- a: Field required"),
        ('{"a": "two"}', "- a: Input should be a valid integer"),
        ('{"a": 1, "c": 1}', "- c: Extra inputs are not permitted"),
        ("7", "- arguments: Input should be an object"),
    ],
)
async def test_arguments_that_do_not_fit_are_explained(arguments: str, wanted: str) -> None:
    assert wanted in (await ToolBox([add]).call("add", arguments)).text


async def test_a_list_of_validation_errors_is_limited() -> None:
    text = (await ToolBox([add]).call("add", "{" + ",".join(f'"x{n}": 1' for n in range(1000)) + "}")).text
    assert len(text.splitlines()) == 7
    assert text.endswith("- and 996 more")


@pytest.mark.parametrize("make", [raising, raising_later])
@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (ValueError("no such city"), "The tool fail failed: no such city"),
        (KeyError(), "The tool fail failed: KeyError"),
        (TimeoutError("the sea is slow"), "The tool fail failed: the sea is slow"),
        (SystemExit("bye"), "The tool fail failed: bye"),
        (KeyboardInterrupt(), "The tool fail failed: KeyboardInterrupt"),
        (asyncio.CancelledError("mine"), "The tool fail failed: mine"),
        (OSError("postgresql://me:hunter2hunter2@db/x"), "The tool fail failed: postgresql://me:***@db/x"),
    ],
)
async def test_an_exception_becomes_text_without_traceback_or_secret(
    make: Callable[[BaseException], Tool], exc: BaseException, text: str
) -> None:
    assert (await ToolBox([make(exc)]).call("fail", "")).text == text


async def test_an_exception_whose_str_raises_is_named() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert (await ToolBox([raising(SilentError())]).call("fail", "")).text == "The tool fail failed: SilentError"


async def test_a_hanging_function_is_abandoned_and_blocks_nothing(gate: threading.Event) -> None:
    @tool
    def hang() -> None:
        """Hang."""
        gate.wait()

    box = ToolBox([hang, add], time_limit=0.01)
    calls = await asyncio.gather(*(box.call("hang", "") for _ in range(40)))
    assert calls[0].text == "The tool hang did not finish within 0.01 seconds."
    assert calls[-1].text == "The tool hang cannot be used right now: earlier calls of it have not returned yet."
    assert sum(thread.name == "tool-hang" for thread in threading.enumerate()) <= 16 + 4
    assert (await ToolBox([add]).call("add", '{"a": 1}')).text == "2"
    assert (await box.call("add", '{"a": 1}')).text in {"2", "The tool add did not finish within 0.01 seconds."}


async def test_a_function_that_returned_late_can_be_called_again(gate: threading.Event) -> None:
    @tool
    def slow() -> str:
        """Be slow at first."""
        gate.wait()
        return "done"

    box = ToolBox([slow], time_limit=0.01)
    await asyncio.gather(*(box.call("slow", "") for _ in range(30)))
    assert "cannot be used" in (await box.call("slow", "")).text
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "tool-slow":
            await asyncio.to_thread(thread.join)
    assert (await box.call("slow", "")).text in {"done", "The tool slow did not finish within 0.01 seconds."}


async def test_a_coroutine_past_its_time_is_cancelled() -> None:
    cancelled = asyncio.Event()

    @tool
    async def hang() -> None:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    text = (await ToolBox([hang], time_limit=0.01).call("hang", "")).text
    assert text == "The tool hang did not finish within 0.01 seconds."
    assert cancelled.is_set()


async def test_functions_do_not_block_the_loop(gate: threading.Event) -> None:
    @tool
    def wait() -> str:
        """Wait for the loop."""
        assert gate.wait(20)
        return "the loop went on"

    call = asyncio.create_task(ToolBox([wait]).call("wait", ""))
    asyncio.get_running_loop().call_later(0.01, gate.set)
    assert (await call).text == "the loop went on"


@pytest.mark.parametrize("sync", [True, False])
async def test_cancellation_passes_through(sync: bool, gate: threading.Event) -> None:  # noqa: FBT001  # a parameter of the test
    begun = threading.Event()

    @tool
    def in_thread() -> None:
        """Hang."""
        begun.set()
        gate.wait()

    @tool
    async def on_loop() -> None:
        """Hang."""
        begun.set()
        await asyncio.Event().wait()

    box = ToolBox([in_thread, on_loop])
    call = asyncio.create_task(box.call("in_thread" if sync else "on_loop", ""))
    await asyncio.to_thread(begun.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


def test_a_hanging_function_does_not_keep_the_process_alive() -> None:
    program = """
import asyncio, threading
from gateway.tools import ToolBox, tool

@tool
def hang() -> None:
    "Hang."
    threading.Event().wait()

print(asyncio.run(ToolBox([hang], time_limit=0.01).call("hang", "")).text)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "did not finish" in ended.stdout


@given(arguments=st.text() | st.dictionaries(st.sampled_from("abc"), st.integers() | st.text()).map(repr))
def test_any_input_of_a_model_gets_an_answer(arguments: str) -> None:
    assert asyncio.run(ToolBox([add]).call("add", arguments)).text
