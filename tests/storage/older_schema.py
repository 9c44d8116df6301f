"""Makes databases as earlier versions left them."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import command
from alembic.config import Config

from storage.connecting.database import Database


def bring_to(url: str, revision: str, statements: Sequence[str] = ()) -> None:
    """Migrates to a revision that may not be the newest, and runs statements there."""
    database = Database(url)
    with database.transaction() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "storage:migrations")
        config.set_main_option("path_separator", "newline")
        command.upgrade(config, revision)
    with database.transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    database.close()
