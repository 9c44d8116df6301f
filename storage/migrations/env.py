"""Alembic's entry point: runs revisions on the given connection, in its transaction."""

from __future__ import annotations

from alembic import context

from storage.partial_indexes import build_partial_indexes
from storage.schema import metadata

build_partial_indexes()
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
