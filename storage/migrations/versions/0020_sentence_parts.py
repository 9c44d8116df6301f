"""A failure's sentence keeps its values, so that it can be said in the language of whoever reads it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("turns", sa.Column("error_parts", sa.Text))
