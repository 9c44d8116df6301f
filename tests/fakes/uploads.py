"""Uploads in memory."""

from __future__ import annotations

from collections.abc import Sequence


class FakeUploads:
    """Implements ``gateway.ports.uploads.Uploads``."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[bytes]] = {}

    @property
    def contents(self) -> Sequence[bytes]:
        return [b"".join(pieces) for pieces in self.pieces.values()]

    def append(self, upload_id: str, seq: int, piece: bytes, *, platform: str, message_id: str) -> None:
        assert len(self.pieces.setdefault(upload_id, [])) == seq
        self.pieces[upload_id].append(piece)

    def read(self, upload_id: str, seq: int) -> bytes | None:
        pieces = self.pieces.get(upload_id, [])
        return pieces[seq] if seq < len(pieces) else None

    def delete(self, upload_id: str) -> None:
        self.pieces.pop(upload_id, None)
