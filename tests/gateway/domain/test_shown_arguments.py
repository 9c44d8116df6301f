"""What whoever approves a call sees of its arguments."""

from __future__ import annotations

import json
import re

import pytest

from gateway.domain.shown_arguments import MAX_SHOWN, is_shortened, readable, shortened

MARK = re.compile(r'(?<!\\)" \[… ([0-9,]+) …\] "')


def test_what_is_short_is_shown_whole() -> None:
    assert shortened('{"a": "b\u202ec"}') == '{\n  "a": "b\\u202ec"\n}'
    assert not is_shortened('{"a": 1}')


@pytest.mark.parametrize(
    "hidden", ["\u3164", "\uffa0", "\u115f", "\u034f", "\ufe01", "\U000e0100", "\U000e01ef", "\u2800", "\u200b", "\x7f"]
)
def test_nothing_is_hidden_behind_a_letter(hidden: str) -> None:
    escaped = json.dumps(hidden)[1:-1]
    assert escaped.startswith("\\u")
    assert readable(json.dumps({"to": f"a{hidden}"})) == f'{{\n  "to": "a{escaped}"\n}}'


def test_letters_of_all_scripts_are_seen_as_they_are() -> None:
    text = "a\u030a \uae40\u3131 \u0915\u094d\u0937 \u0e01\u0e49 \U0001f600"
    assert readable(json.dumps(text)) == f'"{text}"'


@pytest.mark.parametrize("filling", ["word ", "\\", '"', "\n", "\u202e", '" [… 9 …] "'])
def test_a_long_value_hides_no_other(filling: str) -> None:
    given = {"subject": "Hello", "body": filling * 10_000, "to": "account 7"}
    text = shortened(json.dumps(given))
    assert len(text) <= MAX_SHOWN
    lines = text.split("\n")
    assert lines[1] == '  "subject": "Hello",'
    assert lines[2].startswith('  "body": "')
    assert lines[3:] == ['  "to": "account 7"', "}"]
    whole = readable(json.dumps(given)).split("\n")[2]
    head, left_out, tail = MARK.split(lines[2])
    assert len(head) + int(left_out.replace(",", "")) + len(tail) == len(whole)
    assert whole.startswith(head)
    assert whole.endswith(tail)


def test_of_many_values_those_in_the_middle_are_left_out() -> None:
    text = shortened(json.dumps({f"name {number}": number for number in range(1000)}))
    assert len(text) <= MAX_SHOWN
    lines = text.split("\n")
    assert lines[:2] == ["{", '  "name 0": 0,']
    assert lines[-2:] == ['  "name 999": 999', "}"]
    assert sum(line.startswith("[… ") for line in lines) == 1


@pytest.mark.parametrize("text", ["not JSON", "x" * 5000, "", "\n" * 5000])
def test_what_is_no_json_is_shown_too(text: str) -> None:
    assert len(shortened(text)) <= MAX_SHOWN
