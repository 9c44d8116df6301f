"""Alembic's entry: runs revisions on the connection, and in the transaction, that it is given."""

from __future__ import annotations

from alembic import context

from storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
