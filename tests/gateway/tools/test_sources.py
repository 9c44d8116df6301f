"""Tools come from installed packages and from a folder; what is wrong is named with its place and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.domain.errors import SettingsError
from gateway.tools import FoundTool, ToolBox, find_tools

BUILT_IN = ["current_time", "calculate"]
ORDERS = '''
from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NewType

from pydantic import Field

from . import _shop
from ._shop import connect

Order = NewType("Order", str)
LIMIT = 5


class Client:
    pass


def order_status(number: Annotated[str, Field(description="As on the invoice.")]) -> str:
    """Tell the status of an order."""
    return _helper(number)


async def cancel_order(number: Order) -> str:
    """Cancel an order."""
    return f"{number} is cancelled"


@functools.cache
def opening_hours() -> str:
    """Tell when the shop is open."""
    return "9 to 5"


also_order_status = order_status


def _helper(number):
    return f"{number}: {_shop.STATUS} {connect()}"
'''


@pytest.fixture(autouse=True)
def _same_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restores what is imported, and from where."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def folder_with(tmp_path: Path, **files: str) -> Path:
    """Returns a folder with these Python files."""
    folder = tmp_path / "tools"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def install(tmp_path: Path, package: str, content: str, **entry_points: str) -> None:
    """Puts a package with one module on the path, as an installer leaves it there."""
    module = package.replace("-", "_")
    site = tmp_path / "site"
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[gateway.tools]", *lines, ""]))
    (site / f"{module}.py").write_text(content)
    if str(site) not in sys.path:
        sys.path.append(str(site))


def names_of(found: Sequence[FoundTool]) -> list[str]:
    return [each.tool.name for each in found]


def function(name: str, docstring: str = '"""Do it."""') -> str:
    return f"def {name}(a: int = 1) -> str:\n    {docstring}\n    return __name__\n"


def test_without_a_folder_there_are_the_built_in_tools() -> None:
    assert [(each.tool.name, each.origin) for each in find_tools()] == [(name, "built in") for name in BUILT_IN]


async def test_the_public_functions_of_a_folders_files_are_tools(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, orders=ORDERS, _shop="STATUS = 'sent'\ndef connect(): return 'today'")
    (folder / "notes.txt").write_text("nothing")
    (folder / "folder.py").mkdir()
    found = find_tools(folder)
    assert names_of(found) == [*BUILT_IN, "order_status", "cancel_order", "opening_hours"]
    assert {each.origin for each in found[2:]} == {str(folder / "orders.py")}
    box = ToolBox([each.tool for each in found])
    assert (await box.call("order_status", '{"number": "A-1"}')).text == "A-1: sent today"
    assert (await box.call("cancel_order", '{"number": "A-1"}')).text == "A-1 is cancelled"
    assert (await box.call("opening_hours", "")).text == "9 to 5"


def test_a_module_says_what_is_public(tmp_path: Path) -> None:
    chosen = f"from gateway.tools import calculate, tool\n__all__ = ['one']\n{function('one')}{function('two')}"
    made = f"from gateway.tools import calculate, tool\n@tool\n{function('three')}"
    assert names_of(find_tools(folder_with(tmp_path, a=chosen, b=made))) == [*BUILT_IN, "one", "three"]


async def test_a_file_may_be_named_like_a_module_of_python(tmp_path: Path) -> None:
    (found,) = find_tools(folder_with(tmp_path, json=function("look")))[2:]
    assert (await ToolBox([found.tool]).call("look", "")).text == "gateway_tools_path.json"
    assert hasattr(sys.modules["json"], "loads")


async def test_a_folder_is_read_anew_each_time(tmp_path: Path) -> None:
    find_tools(folder_with(tmp_path, a=function("old")))
    assert names_of(find_tools(folder_with(tmp_path, a=function("renamed")))) == [*BUILT_IN, "renamed"]


def test_installed_packages_offer_functions_and_modules(tmp_path: Path) -> None:
    install(tmp_path, "shop-tools", function("find") + function("other"), find="shop_tools:find")
    install(tmp_path, "all-tools", function("first") + function("second"), everything="all_tools")
    assert [(each.tool.name, each.origin) for each in find_tools()[2:]] == [
        ("first", "the package all-tools (everything = all_tools)"),
        ("second", "the package all-tools (everything = all_tools)"),
        ("find", "the package shop-tools (find = shop_tools:find)"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library' (line 1)"),
        ("\n1 / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3 (line 1)"),
        ("x = '\0'", "cannot be imported: "),
        ("raise OSError('one\\n two' * 999)", "OSError: one twoone two"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path, content: str, reason: str) -> None:
    folder = folder_with(tmp_path, orders=content)
    with pytest.raises(SettingsError) as raised:
        find_tools(folder)
    assert str(raised.value).startswith(f"TOOLS_PATH: {folder / 'orders.py'} cannot be imported: ")
    assert reason in str(raised.value)
    assert str(raised.value).endswith("Mend the file, install what it needs, or move it out of the folder.")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (function("find", "pass"), "Tool find: it needs a docstring"),
        ("def find(a):\n    'Doc.'", "Tool find: parameter 'a' needs a type"),
        ("def find(a: 'Nowhere'):\n    'Doc.'", "Tool find: the type 'Nowhere' is not known"),
        ("def find(a: 'int['):\n    'Doc.'", "SyntaxError"),
        ("find = lambda: 1", "'<lambda>' cannot be the name of a tool"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_named_with_its_file(tmp_path: Path, content: str, reason: str) -> None:
    folder = folder_with(tmp_path, orders=content)
    with pytest.raises(SettingsError) as raised:
        find_tools(folder)
    assert str(raised.value).startswith(f"{folder / 'orders.py'} has a function that cannot be a tool. ")
    assert reason in str(raised.value)
    assert "begin its name with an underscore" in str(raised.value)


@pytest.mark.parametrize("name", ["find", "calculate"])
def test_two_tools_of_one_name_are_named_with_their_places(tmp_path: Path, name: str) -> None:
    install(tmp_path, "shop-tools", function("find"), find="shop_tools:find")
    folder = folder_with(tmp_path, orders=function(name))
    with pytest.raises(SettingsError) as raised:
        find_tools(folder)
    first = "built in" if name == "calculate" else "the package shop-tools (find = shop_tools:find)"
    assert str(raised.value) == (
        f"Two tools have the name {name}. One comes from: {first}. The other comes from: {folder / 'orders.py'}. "
        "Rename one of the functions, or remove its file or package."
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("shop_tools:nothing", "cannot be imported: AttributeError"),
        ("no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("shop_tools:LIMIT", "is neither a function nor a module"),
        ("shop_tools:Client", "is neither a function nor a module"),
        ("shop_tools:untyped", "parameter 'a' needs a type"),
    ],
)
def test_a_package_with_an_unusable_tool_is_named(tmp_path: Path, value: str, reason: str) -> None:
    content = "LIMIT = 5\nclass Client: ...\ndef untyped(a):\n    'Doc.'\n"
    install(tmp_path, "shop-tools", content, find=value)
    with pytest.raises(SettingsError) as raised:
        find_tools()
    assert str(raised.value).startswith(f"The package shop-tools (find = {value}) ")
    assert reason in str(raised.value)


def test_what_all_names_and_is_not_there_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, orders="__all__ = ['find']")
    with pytest.raises(SettingsError, match=r"orders\.py has no 'find', which its __all__ names"):
        find_tools(folder)


def test_a_folder_that_is_none_or_empty_or_holds_odd_names_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "missing", tmp_path / "file", Path("~nobody-here/tools")):
        with pytest.raises(SettingsError, match=r"TOOLS_PATH: the folder .* cannot be read: .* Name a folder"):
            find_tools(wrong)
    with pytest.raises(SettingsError, match=r"TOOLS_PATH: .* has no Python files"):
        find_tools(folder_with(tmp_path, _hidden="x = 1"))
    with pytest.raises(SettingsError, match=r"TOOLS_PATH: .*/a\.b\.py cannot be imported: .* Rename the file"):
        find_tools(folder_with(tmp_path, **{"a.b": "x = 1"}))
