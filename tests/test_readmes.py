"""The READMEs are true: links lead somewhere, files that are named exist, folders import what they say they may."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("gateway", "adapters", "storage", "tests", ".github")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])

FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TABLE_OF_FILES = re.compile(r"^\| file \|.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
MAY_IMPORT = re.compile(r"^\*\*May import:\*\* (?!any|everything)(.+?)\n\n", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(
    r"^ *(?:from ((?:gateway|adapters|storage)[\w.]*) import (.+)|import (gateway|adapters|storage))", re.MULTILINE
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text("utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    words = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in HEADING.findall(prose(page)))
    return frozenset(each.replace(" ", "-") for each in words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_a_file_or_a_heading(page: Path) -> None:
    targets = [each for each in LINK.findall(CODE.sub("", prose(page))) if "://" not in each]
    for path, _, anchor in (each.partition("#") for each in targets):
        target = page.parent / path if path else page
        assert target.is_file(), path
        assert not anchor or anchor in anchors(target.resolve()), anchor


WITH_TABLES = {page: "".join(tables) for page in PAGES if (tables := TABLE_OF_FILES.findall(page.read_text("utf-8")))}


@pytest.mark.parametrize("page", WITH_TABLES, ids=name_of)
def test_a_table_of_files_has_all_of_its_folder_and_no_other(page: Path) -> None:
    rows = (row.split("|")[1] for row in WITH_TABLES[page].splitlines())
    listed = {each for row in rows for each in CODE.findall(row) if each.endswith(".py")}
    assert {each for each in listed if not (page.parent / each).is_file()} == set()
    there = {each.name for each in page.parent.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {each for each in there if f"`{each}`" not in page.read_text("utf-8")} == set()


IMPORTERS = {page: found[1] for page in PAGES if (found := MAY_IMPORT.search(page.read_text("utf-8")))}


@pytest.mark.parametrize("page", IMPORTERS, ids=name_of)
def test_a_folder_imports_of_ours_only_what_it_says(page: Path) -> None:
    may = {each.removesuffix(".py").removeprefix("gateway/").rstrip("/") for each in CODE.findall(IMPORTERS[page])}
    found = {module for path in modules_below(page.parent) for module in imports_of(path)}
    own = name_of(page.parent).removeprefix("gateway/")
    assert {each for each in found if not any(f"{each}/".startswith(f"{name}/") for name in (own, *may))} == set()


def test_the_layers_are_those_that_the_linter_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = "\n".join(each.replace("gateway.", "").replace(" | ", ", ") for each in contracts[0]["layers"])
    assert f"```\n{layers}\n```" in (ROOT / "gateway" / "README.md").read_text("utf-8")


def modules_below(folder: Path) -> Iterator[Path]:
    """Yields the modules of a folder, without those of folders inside that say for themselves what they import."""
    inside = {page.parent for page in IMPORTERS if folder in page.parent.parents}
    return (each for each in folder.rglob("*.py") if inside.isdisjoint(each.parents))


def imports_of(path: Path) -> Iterator[str]:
    """Yields what of ours a module imports, as the READMEs name it: ``ports/store``, ``logs``, ``adapters/base/…``."""
    for module, names, whole in IMPORT.findall(path.read_text("utf-8")):
        package = (module or whole).replace(".", "/")
        if package in {"gateway", "adapters"}:
            yield from (f"{package}/{each.strip()}".removeprefix("gateway/") for each in names.strip("()").split(","))
        else:
            yield package.removeprefix("gateway/")
