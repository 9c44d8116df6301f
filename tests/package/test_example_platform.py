"""A platform and a backend come from an installed package, without an edit of the gateway."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gateway.assistants import NoSharedValues, build
from gateway.cli import settings_table
from gateway.cli.check import check
from gateway.config_file.schema import schema
from gateway.domain.errors import SettingsError
from gateway.settings import Settings
from gateway.tools import ToolBox
from gateway.wiring import loading
from gateway.wiring.loading import load_settings, load_valid_settings
from tests.adapters.app_client import AppClient
from tests.gateway.served_gateway import run_gateway
from tests.waiting import until

EXAMPLE = Path(__file__).with_name("example_platform")

EntryPoints = Mapping[str, Mapping[str, str]]


@pytest.fixture(autouse=True)
def _same_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Restores what is imported, and from where."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "example_platform"]:
        del sys.modules[name]


def install(site: Path, package: str, entry_points: EntryPoints) -> None:
    """Puts the metadata of a package on the path, as an installer leaves it there."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [line for group, each in entry_points.items() for line in (f"[{group}]", *map(" = ".join, each.items()))]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))
    sys.path.append(str(site))


@pytest.fixture
def _installed(tmp_path: Path) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(tmp_path / "site", project["name"], project["entry-points"])
    sys.path.append(str(EXAMPLE))


@pytest.fixture
def delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder of replies of a letterbox that is on."""
    folder = tmp_path / "delivery"
    folder.mkdir()
    monkeypatch.setenv("LETTERBOX_FOLDER", str(folder))
    monkeypatch.setenv("LETTERBOX_SECRET", "sesame-open")
    return folder


@pytest.mark.usefixtures("_installed")
def test_a_message_to_the_packages_platform_is_answered_by_its_backend(
    delivery: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    Path("gateway.toml").write_text(
        "[assistants.polly]\nbackend = 'Parrot'\n[[routes]]\nplatform = 'letterbox'\nassistant = 'polly'\n"
    )
    with run_gateway(load_settings(quiet=True)) as gateway:
        client = AppClient(gateway.web(), gateway.worker._loop)
        letter = {"id": "1", "sender": "ann", "text": "Hello"}
        assert client.post("/letterbox", json=letter).status_code == 401
        assert client.post("/letterbox", json=letter, headers={"Letterbox-Secret": "sesame-open"}).status_code == 200
        assert read_reply(delivery) == "1: Hello!"


def read_reply(folder: Path) -> str:
    (reply,) = until(lambda: list(folder.glob("*.txt")))
    return reply.read_text("utf-8")


@pytest.mark.usefixtures("_installed", "delivery")
def test_its_settings_are_known_like_any_others(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("ASSISTANT_BACKEND", "parrot")
    monkeypatch.setenv("BLOCKED", "letterbox:bob")
    lines = {line.name: line for line in check(*load_valid_settings())}
    assert (lines["letterbox"].ok, lines["parrot"].ok) == (True, True)
    assert "sesame-open" in loading.read_all().secrets()
    assert "| `LETTERBOX_FOLDER` |  | Where replies are put." in settings_table.settings_table(
        loading.settings_classes()
    )
    of_editors = schema(loading.settings_classes(), loading.platform_settings())
    assert "letterbox_secret" in of_editors["properties"]["settings"]["properties"]
    monkeypatch.setenv("LETTERBOX_SECRTE", "x")
    monkeypatch.delenv("LETTERBOX_SECRET")
    with pytest.raises(SettingsError, match=r"LETTERBOX_SECRTE is no setting\. If you mean LETTERBOX_SECRET"):
        loading.read_all()


@pytest.mark.usefixtures("_installed")
def test_a_packages_backend_says_what_it_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_BACKEND", "parrot")
    monkeypatch.setenv("OPENAI_TEMPERATURE", "1")
    settings = Settings.load()
    with pytest.raises(SettingsError, match="The backend parrot takes no OPENAI_TEMPERATURE"):
        build(settings, ToolBox(()), NoSharedValues())


def test_a_backend_that_no_package_offers_is_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_BACKEND", "parrot")
    with pytest.raises(SettingsError, match=r"ASSISTANT_BACKEND: must be 'responses', .* or 'offline'"):
        load_settings()


@pytest.mark.parametrize(
    ("group", "entry_point", "value", "reason"),
    [
        ("gateway.adapters", "pigeon", "no_such_module:it", "cannot be imported: ModuleNotFoundError"),
        ("gateway.adapters", "pigeon", "json:nothing", "cannot be imported: AttributeError"),
        ("gateway.adapters", "pigeon", "json:dumps", "is no PlatformPackage but a function"),
        ("gateway.adapters", "slack", "json:dumps", "a name that the gateway itself has"),
        ("gateway.assistants", "pigeon", "no_such_module:it", "cannot be imported: ModuleNotFoundError"),
        ("gateway.assistants", "pigeon", "json:JSONDecoder", "cannot be built: TypeError"),
        (
            "gateway.assistants",
            "pigeon",
            "example_platform.parrot:build",
            "another name than its entry point: 'parrot'",
        ),
        ("gateway.assistants", "chat", "json:dumps", "a name that the gateway itself has"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, entry_point: str, value: str, reason: str
) -> None:
    install(tmp_path / "site", "carrier-pigeon", {group: {entry_point: value}})
    sys.path.append(str(EXAMPLE))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("ASSISTANT_BACKEND", entry_point if group == "gateway.assistants" else "offline")

    def start() -> None:
        build(loading.load_settings(quiet=True), ToolBox(()), NoSharedValues())

    with pytest.raises(SettingsError) as raised:
        start()
    assert str(raised.value).startswith(f"The package carrier-pigeon ({entry_point} = {value}) ")
    assert reason in str(raised.value)
    assert str(raised.value).endswith("uninstall it: pip uninstall carrier-pigeon.")


def test_two_packages_must_not_offer_the_same(tmp_path: Path) -> None:
    for name in ("carrier-pigeon", "homing-pigeon"):
        install(tmp_path / name, name, {"gateway.adapters": {"pigeon": "json:dumps"}})
    with pytest.raises(SettingsError, match=r"The package homing-pigeon .* that the package carrier-pigeon .* has"):
        loading.read_all()
