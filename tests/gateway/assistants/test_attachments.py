"""Conversion of attachments by kind, and removal of sandbox links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.assistants import attachments
from gateway.assistants.attachments import (
    MAX_INLINE_CHARS,
    BinaryPart,
    InlineText,
    base_name,
    load,
    to_parts,
    without_files,
    without_sandbox_links,
)
from gateway.assistants.request_body import DataUrl
from gateway.domain.errors import AssistantMisconfigured, AssistantRefused, AssistantUnavailable
from gateway.domain.files import Attachment, BytesContent, File
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState

PNG = b"\x89PNG\r\n\x1a\n"


def to_part(name: str, content: bytes, media_type: str = "", problem: str = "") -> InlineText | BinaryPart:
    (one,) = to_parts([Attachment(File(name, "1", media_type), BytesContent(content), problem)])
    return one


# ---------------------------------------------------------------- attachments


@pytest.mark.parametrize(
    ("name", "content", "media_type", "kind"),
    [
        ("a.png", PNG, "", "image/png"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "image/png", "image/jpeg"),
        ("a", b"GIF89a", "application/octet-stream", "image/gif"),
        ("a.bin", b"RIFF\n\0\0\0WEBPVP8", "", "image/webp"),
        ("a.jpeg", b"cannot be told", "", "image/jpeg"),
        ("a", b"cannot be told", "image/png; x=y", "image/png"),
    ],
)
def test_an_image_is_recognised_by_content_before_name(name: str, content: bytes, media_type: str, kind: str) -> None:
    image = to_part(name, content, media_type)
    assert isinstance(image, BinaryPart)
    assert image.is_image
    assert image.media_type == kind
    assert image.data_url == DataUrl(kind, BytesContent(content))


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", ""),
        ("A.CSV", "application/octet-stream"),
        ("a.ts", ""),
        ("Makefile", ""),
        ("no ending", "text/x-unheard-of"),
        ("a", "application/json; charset=utf-8"),
        ("a", "application/ld+json"),
        ("plot.svg", "image/svg+xml"),
    ],
)
def test_a_small_text_file_becomes_a_text_part(name: str, media_type: str) -> None:
    assert to_part(name, "\ufeffGrüße".encode(), media_type) == InlineText(
        f"[beginning of {name}]\nGrüße\n[end of {name}]"
    )


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.pdf", b"%PDF", "application/pdf"),
        ("a.txt", b"\xff\xfeG\0", "text/plain"),
        ("a.txt", b"a\0b", "text/plain"),
        ("a.txt", b"a" * (MAX_INLINE_CHARS + 1), "text/plain"),
        ("a.rtf", b"{\\rtf1}", "text/rtf"),
        ("a.tiff", b"II*\0", "image/tiff"),
        ("a.docx", b"PK", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.unheardof", b"abc", "application/octet-stream"),
    ],
)
def test_any_other_file_becomes_a_binary_part(name: str, content: bytes, media_type: str) -> None:
    file = to_part(name, content, media_type)
    assert file == BinaryPart(name, media_type, BytesContent(content))
    assert isinstance(file, BinaryPart)
    assert not file.is_image


def test_the_inline_limit_counts_characters_not_bytes() -> None:
    assert isinstance(to_part("a.txt", ("ü" * MAX_INLINE_CHARS).encode()), InlineText)


@pytest.mark.parametrize(
    ("content", "problem", "said"),
    [
        (b"", "It is larger than 20 MB.", "It is larger than 20 MB"),
        (b"half", "It\nbroke off", "It broke off"),
        (b"", "", "it is empty"),
    ],
)
def test_an_unreadable_file_becomes_a_note(content: bytes, problem: str, said: str) -> None:
    assert to_part("a\n b.pdf", content, problem=problem) == InlineText(f"[a b.pdf could not be read: {said}]")


def test_a_file_beyond_the_total_size_becomes_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_BYTES", 10)
    files = [
        Attachment(File(name, "1"), BytesContent(b"\xff" * size))
        for name, size in (("a.zip", 6), ("b.zip", 5), ("c.zip", 4))
    ]
    first, second, third = to_parts(files)
    assert [one.name for one in (first, third) if isinstance(one, BinaryPart)] == ["a.zip", "c.zip"]
    assert isinstance(second, InlineText)
    assert second.text.startswith("[b.zip could not be read: it is too large")


def test_without_files_keeps_texts_and_names_files() -> None:
    words = InlineText("[beginning of a.txt]")
    assert without_files([words]) is None
    kept, left = without_files([words, BinaryPart("b.pdf", "application/pdf", BytesContent(b"%PDF"))]) or []
    assert kept == words
    assert left.text.startswith("[b.pdf could not be read: the assistant's server")


@given(st.text(), st.binary(max_size=100), st.text(max_size=20))
def test_any_attachment_becomes_a_part(name: str, content: bytes, media_type: str) -> None:
    one = to_part(name, content, media_type)
    assert isinstance(one, InlineText) or one.content == BytesContent(content)


@pytest.mark.parametrize(("files", "times"), [((), 0), ((File("a.txt", "1"),), 1)])
async def test_attachments_are_loaded_only_if_there_are_files(files: tuple[File, ...], times: int) -> None:
    fetches = 0

    async def fetch() -> list[Attachment]:
        nonlocal fetches
        fetches += 1
        return [Attachment(file, BytesContent(b"A")) for file in files]

    message = Message(ConversationKey("test"), "m1", "Hello", files=files)
    assert len(await load(Turn(TurnId("t"), 1, 1, message, TurnState.RUNNING), fetch)) == len(files)
    assert fetches == times


# ---------------------------------------------------------------- files that the assistant made


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("See [the plan](sandbox:/mnt/data/plan.csv).", "See the plan."),
        ("![A plot](sandbox:/mnt/data/a (1).png) and [b](<sandbox:/mnt/data/b c.txt>)", "A plot and b"),
        ('[x [1]](sandbox:/mnt/data/x "Download")[y](sandbox:/y)', "x [1]y"),
        ("[a](https://a.example/sandbox:/x) [b] (sandbox:/b)", "[a](https://a.example/sandbox:/x) [b] (sandbox:/b)"),
        ("[a](sandbox:/never closed", "[a](sandbox:/never closed"),
        ("nothing [of](https://that.example) kind", "nothing [of](https://that.example) kind"),
    ],
)
def test_a_sandbox_link_is_replaced_by_its_label(text: str, left: str) -> None:
    assert without_sandbox_links(text) == left


@given(st.text(alphabet="[]()!<> \nsandbox:/x", max_size=60))
def test_only_links_are_removed(text: str) -> None:
    left = iter(text)
    assert all(letter in left for letter in without_sandbox_links(text))


@pytest.mark.parametrize("hostile", ["[" * 30_000, "[a](sandbox:" * 3_000, "](sandbox:(" * 3_000, "[[a]" * 8_000])
def test_removing_links_is_fast_for_any_text(hostile: str) -> None:
    assert without_sandbox_links(f"{hostile} sandbox:")


@pytest.mark.parametrize("path", ["plan.csv", "/mnt/data/plan.csv", "sandbox:/mnt/data/plan.csv", "C:\\data\\plan.csv"])
def test_the_base_name_is_the_end_of_a_path(path: str) -> None:
    assert base_name(path, "file") == "plan.csv"
    assert base_name("/", "file") == "file"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AssistantRefused("No such file"), "file_gone"),
        (AssistantRefused("More bytes", code="file_too_large"), "file_too_large"),
        (AssistantMisconfigured("No key"), "misconfigured"),
        (AssistantUnavailable("Away"), "unavailable"),
    ],
)
def test_only_a_rejected_download_means_a_missing_file(
    error: AssistantRefused | AssistantUnavailable, code: str
) -> None:
    with pytest.raises(type(error)) as caught, attachments.missing_as_gone(File("a.csv", "1")):
        raise error
    assert caught.value.code == code
