"""What goes back to the assistant's server with calls for which a turn waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.add_column("turns", sa.Column("returned", sa.Text))
