"""Conversations, turns, and named values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _conversations()
    _turns()
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", Number, primary_key=True, autoincrement=True),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("thread_id", sa.Text),
        sa.Column("backend", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("tail", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Double),
        sa.Column("owner", sa.Text),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.UniqueConstraint("platform", "workspace", "channel", "topic", "user_id", name="conversations_key"),
        sa.CheckConstraint("head <= tail", name="conversations_head"),
        sqlite_autoincrement=True,
    )
    _index("conversations_thread", "thread_id")
    _index("conversations_due", "next_at")


def _index(name: str, column: str) -> None:
    there = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, "conversations", [column], sqlite_where=there, postgresql_where=there)


def _turns() -> None:
    op.create_table(
        "turns",
        sa.Column("conversation_id", Number, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("run_id", sa.Text),
        sa.Column("reply", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("error_code", sa.Text),
        sa.Column("error_sentence", sa.Text),
        sa.Column("error_detail", sa.Text),
        sa.Column("error_retry_after", sa.Double),
        sa.Column("tokens_in", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("tokens_out", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("answered_at", sa.Double),
        sa.Column("delivered_at", sa.Double),
        sa.PrimaryKeyConstraint("conversation_id", "seq", name="turns_order"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="turns_conversation", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("id", name="turns_id"),
        sa.UniqueConstraint("platform", "message_id", name="turns_message"),
    )
