"""The files of one turn's message: fetched once, kept until the turn ends, and left out after a death over them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway import logs
from gateway.coordination.file_spool import FileSpool, TurnSpool
from gateway.coordination.lease import LeaseGuard
from gateway.domain.files import Attachment
from gateway.domain.models import Turn
from gateway.domain.sentences import sentence
from gateway.ports.platform import Adapter, FetchesAttachments

LEFT_OUT = "it was left out, as the work on this message was interrupted when files were read before"
LEFT_OUT_NOTICE = sentence(
    "_The attached files were left out of this answer: the work on them was interrupted before. If they matter, send "
    "them again, one at a time._"
)

log = logs.get_logger(__name__)


class TurnFiles:
    """The files of one attempt at a turn. To be closed."""

    def __init__(self, lease_guard: LeaseGuard, adapter: Adapter, spool: FileSpool) -> None:
        self._lease_guard = lease_guard
        self._adapter = adapter
        self._file_spool = spool
        self._spool: TurnSpool | None = None
        self._attachments: Sequence[Attachment] | None = None
        self.left_out = False
        """Whether the assistant was told that the files were left out."""

    async def load(self) -> Sequence[Attachment]:
        """The AttachmentLoader of the attempt."""
        if self._attachments is None:
            self._attachments = await self._load()
        return self._attachments

    def close(self) -> None:
        """Deletes the content of the files."""
        if self._spool is not None:
            self._spool.close()

    async def _load(self) -> Sequence[Attachment]:
        turn = self._lease_guard.claim.turn  # as it is by now: its context may have brought files
        files = turn.message.files
        if not files or not isinstance(self._adapter, FetchesAttachments):
            return ()
        if may_have_died_over_files(turn):
            log.warning("files left out: earlier attempts were interrupted", turn=turn.id, files=len(files))
            self.left_out = True
            return [Attachment(file, problem=LEFT_OUT) for file in files]
        if self._spool is None:
            self._spool = self._file_spool.open_turn()
        return await self._adapter.fetch_attachments(turn, self._spool)


def may_have_died_over_files(turn: Turn) -> bool:
    """Returns whether a process may have died over the files of a turn's message, so that the next one would too.

    An attempt that was handed back is not counted, so the others before this one ended with their processes. If that
    happened once, and the run had begun, its files had arrived at the assistant and were not the cause.
    """
    interrupted = turn.attempts - 1
    return interrupted > 1 or (interrupted == 1 and turn.run_id is None)
