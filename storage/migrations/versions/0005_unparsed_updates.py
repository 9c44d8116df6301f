"""A table for updates that could not be parsed, with those that were stored in ``facts``, where nothing erased them."""

from __future__ import annotations

import re
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

OLD_NAME: Final = re.compile(r"([a-z]+):([^:]+):aside:([^:]+)")
"""The name of an update in ``facts``: platform, bot and update id."""
TAKE: Final = "DELETE FROM facts WHERE name LIKE :names RETURNING name, value"
NOW: Final = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "date_part('epoch', clock_timestamp())",
}
"""The database's time, by its kind."""
INSERT: Final = """
    INSERT INTO unparsed_updates (platform, workspace, update_id, body, received_at)
    VALUES (:platform, :workspace, :update_id, :body, {now}) ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    op.create_table(
        "unparsed_updates",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("update_id", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("channel", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("platform", "workspace", "update_id", name="unparsed_updates_one_each"),
    )
    op.create_index("unparsed_updates_received", "unparsed_updates", ["received_at"])
    # Processes of the version before may store more of them: storage/unparsed_updates.py moves those later.
    _move_from_facts(op.get_bind())
    # Where the Telegram bot was removed or blocked: written by earlier versions, never read.
    op.execute("DELETE FROM facts WHERE name LIKE 'telegram:%:gone:%'")


def _move_from_facts(connection: sa.Connection) -> None:
    """Moves the updates. Their age is not known: it counts from now."""
    insert = sa.text(INSERT.format(now=NOW[connection.dialect.name]))
    for name, body in connection.execute(sa.text(TAKE), {"names": "%:aside:%"}).all():
        found = OLD_NAME.fullmatch(name)
        # With another name it is not an update; the id then stays unique, and the content is erased like an update's.
        platform, workspace, update_id = found.groups() if found else (name.partition(":")[0], "", name)
        about = {"platform": platform, "workspace": workspace, "update_id": update_id, "body": body}
        connection.execute(insert, about)
