"""Brings one outcome to Slack: looks where need be; ends, changes, posts and deletes messages; uploads files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.slack import files, sought, text
from adapters.slack.calls import Calls
from adapters.slack.errors import Declined
from adapters.slack.mrkdwn import escaped
from adapters.slack.pen import ENDINGS, GONE, Ending, Pen
from adapters.slack.standing import FILE, UNSHARED, Part, Wanted
from gateway import logs
from gateway.errors import AssistantError, DeliveryError, GatewayError, Refused
from gateway.messages import File, Turn, TurnState
from gateway.ports import Outbox

PATIENCE = 120.0
"""Seconds that a place under Slack's limits may take; then the engine lets others go first."""
TOO_RICH = frozenset(
    {
        *("block_mismatch", "invalid_blocks", "invalid_blocks_format", "invalid_chunks"),
        *("msg_blocks_too_long", "msg_blocks_too_many", "msg_too_long"),
    }
)
"""Slack does not take the message in this form: it is said again in a plainer one."""
UNCHANGEABLE = frozenset({GONE, "cant_update_message", "edit_window_closed"})
STREAMING = "streaming_state_conflict"
BLIND = frozenset({"channel_not_found", "missing_scope", "no_permission", "not_in_channel", "thread_not_found"})
"""Slack does not let us look, and never will."""
TRIES = 3
"""For the content of a file, which the rest of the conversation waits for."""
FILE_PAUSE = 5.0
STOPPED: dict[str, Any] = {"type": "context", "elements": [{"type": "mrkdwn", "text": "_Stopped._"}]}

log = logs.get(__name__)


class Delivery:
    """One try. It goes on from what ``pen.standing`` says, which is right again after whatever breaks it off."""

    def __init__(self, calls: Calls, pen: Pen, turn: Turn, outbox: Outbox, *, streams: bool) -> None:
        self._calls = calls
        self._pen = pen
        self._standing = pen.standing
        self._turn = turn
        self._outbox = outbox
        self._streams = streams
        self._ending: Ending = "complete" if turn.state is TurnState.ANSWERED else "error"

    async def bring(self, wanted: Sequence[Wanted]) -> None:
        """Raises DeliveryError, LeaseLost, StoreUnavailable."""
        if self._standing.doubtful:
            await self._look()
        if self._standing.notes != list(self._outbox.parts):  # a note that broke off
            await self._pen.note()
        if self._turn.state is TurnState.CANCELLED:
            await self._leave()
            return
        await self._write(list(wanted))
        for number in range(len(self._standing.files), len(self._turn.files)):
            await self._bring_file(number)
        await self._share_last()

    # ------------------------------------------------------------ what stands there

    async def _look(self) -> None:
        try:
            found = await sought.look(self._calls, self._pen.place, self._turn, self._outbox)
        except Declined as exc:
            if exc.slack_error not in BLIND:
                raise
            # A message that nobody noted may be posted twice now. The other choice is a reply that nobody gets.
            log.warning("cannot look for what was posted before", turn=self._turn.id, error=str(exc))
        else:
            self._standing.parts = found.merged(self._standing.parts, streams=self._streams)
            while (line := found.lines.get(len(self._standing.files))) is not None:
                self._standing.files.append(line)
        self._standing.doubtful = False

    # ------------------------------------------------------------ the text

    async def _write(self, wanted: list[Wanted]) -> None:
        number = 0
        while number < len(wanted):
            try:
                await self._set(number, wanted[number])
            except Declined as exc:
                if exc.slack_error in TOO_RICH and not wanted[number].plain:
                    log.warning("said in a plainer form", turn=self._turn.id, error=str(exc))
                    plain = text.plain(wanted[number].text)
                    wanted[number : number + 1] = [Wanted(part, plain=True) for part in plain]
                elif exc.slack_error in UNCHANGEABLE and number < len(self._standing.parts):
                    await self._remove(number)  # what follows has to stand below what is posted instead
                else:
                    raise
            else:
                number += 1
        await self._remove(len(wanted))

    async def _set(self, number: int, wanted: Wanted) -> None:
        """Let a message show what it must; post it if it is not there."""
        if number == len(self._standing.parts):
            await self._pen.post(wanted, patience=PATIENCE)
            return
        part = self._standing.parts[number]
        if part.streaming:
            await self._end(part, wanted)
        if part.mark == wanted.mark:
            return
        try:
            await self._pen.update(part, wanted, patience=PATIENCE)
        except Declined as exc:
            if exc.slack_error != STREAMING:
                raise
            await self._end(part, None)
            await self._pen.update(part, wanted, patience=PATIENCE)

    async def _end(self, part: Part, wanted: Wanted | None) -> None:
        """End a stream, with the rest if it shows how that begins. It may be over already."""
        fits = wanted is not None and part.shown is not None and wanted.text.startswith(part.shown)
        try:
            await self._pen.stop(part, wanted if fits else None, ending=self._ending, patience=PATIENCE)
        except Declined as exc:
            if exc.slack_error in TOO_RICH and fits:
                await self._end(part, None)
            elif exc.slack_error not in ENDINGS:
                raise

    async def _remove(self, first: int) -> None:
        """Delete what is too much."""
        for part in self._standing.parts[first:][::-1]:
            try:
                if part.streaming:
                    await self._end(part, None)
                await self._pen.delete(part, patience=PATIENCE)
            except Declined as exc:
                if exc.slack_error not in UNCHANGEABLE | {"cant_delete_message"}:
                    raise
                log.warning("a message stays", turn=self._turn.id, error=str(exc))
                self._standing.parts.remove(part)
                await self._pen.note()

    async def _leave(self) -> None:
        """What was shown of a cancelled turn stays, and says that it was stopped."""
        if not self._standing.parts:
            return
        part = self._standing.parts[-1]
        stopped = Wanted(part.shown, below=(STOPPED,)) if part.shown else None
        try:
            if part.streaming:
                await self._end(part, stopped or Wanted("", below=(STOPPED,)))
            if stopped and part.mark != stopped.mark:
                await self._pen.update(part, stopped, patience=PATIENCE)
        except Declined as exc:
            log.info("the preview stays as it is", turn=self._turn.id, error=str(exc))

    # ------------------------------------------------------------ the files

    async def _bring_file(self, number: int) -> None:
        await self._share_last()
        file = self._turn.files[number]
        try:
            await self._upload(file, await self._content(file))
        except (AssistantError, Declined) as exc:
            await self._miss(number, exc)

    async def _content(self, file: File) -> bytes:
        """Raises AssistantError, DeliveryError."""
        try:
            content = await self._outbox.file(file)
        except AssistantError as exc:
            self._standing.fetched += 1
            if isinstance(exc, Refused) or self._standing.fetched >= TRIES:
                raise
            message = f"The assistant does not hand over the file {file.name} now: {exc}"
            raise DeliveryError(message, retry_after=exc.retry_after or FILE_PAUSE) from exc
        self._standing.fetched = 0
        return content

    async def _upload(self, file: File, content: bytes) -> None:
        place, outbox = self._pen.place, self._outbox
        file_id = await files.upload(self._calls, place, outbox, file, content, before_sharing=self._note_unshared)
        await self._note_shared(file_id)

    async def _share_last(self) -> None:
        """Finish what broke off between a file's upload and the note that it is shared."""
        notes = self._standing.files
        if not notes or not notes[-1].startswith(UNSHARED):
            return
        file, file_id = self._turn.files[len(notes) - 1], notes[-1].removeprefix(UNSHARED)
        try:
            await files.share(self._calls, self._pen.place, self._outbox, file, file_id)
        except Declined as exc:
            await self._miss(len(notes) - 1, exc)
        else:
            await self._note_shared(file_id)

    async def _note_unshared(self, file_id: str) -> None:
        self._standing.files.append(f"{UNSHARED}{file_id}")
        await self._pen.note()

    async def _note_shared(self, file_id: str) -> None:
        self._standing.files[-1] = f"{FILE}{file_id}"
        await self._pen.note()

    async def _miss(self, number: int, why: GatewayError) -> None:
        """Say by its name that a file is not there, and will not be."""
        if isinstance(why, Declined) and why.retry_after is not None:
            raise why
        file = self._turn.files[number]
        log.warning("a file could not be brought", turn=self._turn.id, file=file.name, error=str(why))
        line = Wanted(f"The file {escaped(file.name)} could not be brought here.", plain=True)
        ts = await self._pen.post_line(line, file=number, patience=PATIENCE)
        self._standing.files[number:] = [f"{FILE}{ts}"]
        await self._pen.note()
