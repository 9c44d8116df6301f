"""What a reply says of a model that refuses, for programs that tell it from other text."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column("turns", sa.Column("refusal", sa.Text))
