"""The audit trail, people and channels with their names, and blocked people.

Those who wrote before are taken from the turns, without names.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

PLATFORM = {
    "sqlite": "substr(t.platform || ':', 1, instr(t.platform || ':', ':') - 1)",
    "postgresql": "split_part(t.platform, ':', 1)",
}
WHO_WROTE = """
    INSERT INTO people (platform, user_id, bot, workspace, is_claimed, first_at, last_at)
    SELECT {platform}, t.author, min(t.platform), max(c.workspace), max(t.caller) <> '',
           min(t.received_at), max(t.received_at)
    FROM turns AS t JOIN conversations AS c ON c.id = t.conversation_id
    WHERE t.author <> '' GROUP BY 1, 2
"""


def upgrade() -> None:
    op.create_table(
        "audit_trail",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("actor", "action", "target", "detail")),
    )
    op.create_table(
        "people",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''"))
            for name in ("name", "bot", "workspace")
        ),
        sa.Column("is_claimed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("first_at", sa.Double, nullable=False),
        sa.Column("last_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("platform", "user_id", name="people_one_each"),
    )
    op.create_index("people_seen", "people", ["last_at"])
    op.create_table(
        "channels",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("named_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("platform", "channel", name="channels_one_each"),
    )
    op.create_table(
        "blocks",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("platform", "user_id", "actor", "reason")),
        sa.Column("blocked_at", sa.Double, nullable=False),
        sa.Column("told_at", sa.Double),
        sa.Column("refused", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("refused_at", sa.Double),
        sa.PrimaryKeyConstraint("platform", "user_id", name="blocks_one_each"),
    )
    op.execute(WHO_WROTE.format(platform=PLATFORM[op.get_bind().dialect.name]))
