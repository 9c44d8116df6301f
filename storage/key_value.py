"""The KeyValueStore on SQLAlchemy: values and locks of the core and its adapters, each by name."""

from __future__ import annotations

from storage import sql
from storage.connecting.database import Database
from storage.upserts import UPSERTS


class SqlKeyValueStore:
    """Implements KeyValueStore, and ``set_value_if_absent`` of Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upserts = UPSERTS[database.kind]

    # ---------------------------------------------------------------- values

    def get_value(self, name: str) -> str | None:
        with self._database.read() as connection:
            return connection.execute(sql.get_value, {"fact": name}).scalar()

    def set_value_if_absent(self, name: str, value: str) -> str:
        with self._database.transaction() as connection:
            connection.execute(self._upserts.insert_value, {"name": name, "value": value})
            kept: str = connection.execute(sql.get_value, {"fact": name}).scalar_one()
            return kept

    def set_value(self, name: str, value: str) -> None:
        with self._database.single_write() as connection:
            connection.execute(self._upserts.set_value, {"name": name, "value": value})

    def replace_value(self, name: str, old: str, new: str) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(sql.replace_value, {"fact": name, "old": old, "new": new}).rowcount > 0

    def delete_value(self, name: str) -> bool:
        with self._database.single_write() as connection:
            return connection.execute(sql.delete_value, {"fact": name}).rowcount > 0

    # ---------------------------------------------------------------- locks

    def try_lock(self, name: str, owner: str, seconds: float) -> bool:
        """Releasing a lock returns False when this owner does not have it."""
        parameters = {"lease": name, "holder": owner}
        with self._database.single_write() as connection:
            if seconds <= 0:
                return connection.execute(sql.release_lock, parameters).rowcount > 0
            return connection.execute(self._upserts.take_lock, parameters | {"wait": seconds}).scalar() is not None
