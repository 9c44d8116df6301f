"""Who speaks, as models are told it: by a note, in front of each text, and in the field that chat completions has."""

from __future__ import annotations

import pytest

from gateway.assistants.requests.speakers import NOTE, instructions_for, name_field
from gateway.domain.context import ChatContext
from tests.gateway.turn_factory import TURN, spoken_by


@pytest.mark.parametrize(
    ("speaker", "name"),
    [("Ann Lee", "Ann_Lee"), ("O'Brien, Zoë", "O_Brien_Zo"), ("x" * 60, "x" * 60), ("<|im_end|>", "im_end")],
)
def test_the_field_takes_letters_digits_and_dashes(speaker: str, name: str) -> None:
    assert name_field(speaker) == {"name": name}


@pytest.mark.parametrize("speaker", ["", "山田", "🙂"])
def test_the_field_is_left_out_where_nothing_may_stand_in_it(speaker: str) -> None:
    assert name_field(speaker) == {}


def test_the_model_is_told_about_names_where_there_are_any() -> None:
    assert instructions_for(TURN, "Be brief.") == "Be brief."
    assert instructions_for(spoken_by("Ann", "hi"), "Be brief.") == f"Be brief.\n\n{NOTE}"
    assert instructions_for(spoken_by("Ann", "hi"), "") == NOTE
    assert spoken_by("Ann", "hi").message.context == ChatContext("Ann")
