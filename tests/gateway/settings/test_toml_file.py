"""gateway.toml as a file: where its values are written, what of the environment is in them, what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import SettingsError
from gateway.settings import toml_file
from gateway.settings.toml_file import Key, TomlFile

TEXT = '''\
# A comment
[assistants.default]
model = "m"

[assistants."support desk"]
instructions = """
model = "not this one"
[settings]
"""
tools = [
  "web_search",  # ] and
  "calculate",
]
limits.tokens = 5
headers = { a = "1", b = "2" }

[[routes]]
platform = "x"
[[routes]]
platform = "y"
[routes.more]
deep = true
[settings]
port = 1
'''


def read(folder: Path, text: str | bytes, **variables: str) -> TomlFile:
    path = folder / "gateway.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return toml_file.read(path, variables.get)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_value_has_the_line_of_its_statement(tmp_path: Path, ends: str) -> None:
    file = read(tmp_path, TEXT.replace("\n", ends))
    lines: dict[Key, int] = {
        ("assistants", "default"): 2,
        ("assistants", "default", "model"): 3,
        ("assistants", "support desk", "instructions"): 6,
        ("assistants", "support desk", "tools"): 10,
        ("assistants", "support desk", "tools", 1): 10,
        ("assistants", "support desk", "limits", "tokens"): 14,
        ("assistants", "support desk", "headers", "b"): 15,
        ("assistants", "support desk", "missing"): 5,
        ("routes", 0, "platform"): 18,
        ("routes", 1): 19,
        ("routes", 1, "more", "deep"): 22,
        ("settings", "port"): 24,
        ("nothing",): 1,
    }
    assert {key: file.line_of(key) for key in lines} == lines


WORDS = st.text("abc", min_size=1, max_size=2)
VALUES = st.sampled_from(['"x"', "1", "'''\n[no.table]\nb = 1\n'''", "[\n1,\n2]", "{ a = 1 }"])
TABLES = st.lists(st.tuples(st.booleans(), WORDS, st.lists(st.tuples(WORDS, VALUES), max_size=3)), max_size=5)


@given(TABLES)
def test_every_key_of_a_valid_file_is_found_at_a_line_that_names_it(tables: list[Any]) -> None:
    text = "".join(
        ("[[%s]]\n" if is_array else "[%s]\n") % name + "".join(f"# c\n{key} = {value}\n" for key, value in keys)
        for is_array, name, keys in tables
    )
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    file = TomlFile(Path("f"), text, data)
    lines = text.split("\n")
    for name, value in data.items():
        for place, table in enumerate(value) if isinstance(value, list) else [(None, value)]:
            where = (name,) if place is None else (name, place)
            assert lines[file.line_of(where) - 1].strip("[]") == name
            for key in table:
                assert lines[file.line_of((*where, key)) - 1].startswith(f"{key} = ")


def test_values_of_the_environment_are_filled_in_and_not_read_again(tmp_path: Path) -> None:
    text = '[a]\nb = ["Bearer ${TOKEN}", "$${TOKEN}", "$5 {x} ${TOKEN}${OTHER}"]\nc = 1\n"${k}" = true\n'
    file = read(tmp_path, text, TOKEN="sample-token", OTHER="${TOKEN}")
    assert file.data == {
        "a": {"b": ["Bearer sample-token", "${TOKEN}", "$5 {x} sample-token${TOKEN}"], "c": 1, "${k}": True}
    }
    assert "sample-token" not in repr(file)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[a]\n\nb = ["x",\n"${ORDERS}"]\n', "line 3: a.b: the variable ORDERS is not set in the environment."),
        ('[a]\nb = "${ORDERS"', "line 2: a.b: write ${NAME} with the name of a variable"),
        ('[a]\nb = "${}"', "line 2: a.b: write ${NAME} with the name of a variable"),
        ('[a]\nb = "${A-B:-c}"', "line 2: a.b: write ${NAME}"),
        ('[[r]]\n[[r]]\nb = { c = "${NO}" }', "line 3: r.b.c: the variable NO is not set"),
        ("[a]\nb = c\n", "line 2: Invalid value."),
        ("[a]\nb = 1\nb = 2\n", "line 3: Cannot overwrite a value."),
        ('[a]\nb = "x\n', "line 2: Illegal character"),
        ("a = [1,\n\n", "line 1: Invalid value."),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    assert f"gateway.toml, {wrong}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("[a]\n".encode("utf-16"), "it is UTF-16 text; save the file as UTF-8."),
        (b'[a]\nb = "\xff"\n', "line 2 is not UTF-8 text; save the file as UTF-8."),
    ],
)
def test_a_file_in_another_encoding_is_refused(tmp_path: Path, content: bytes, wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        read(tmp_path, content)


def test_what_windows_writes_before_utf_8_is_no_part_of_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff[a]\nb = 1\n").data == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("asistants", " Do you mean assistants?"),
        ("ROUTE", " Do you mean routes?"),
        ("xyz", " There are: assistants, routes."),
    ],
)
def test_the_nearest_name_is_told(name: str, sentence: str) -> None:
    assert toml_file.nearest(name, ["routes", "assistants"]) == sentence
