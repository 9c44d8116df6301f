"""The operator's pages at /admin: what there is, what becomes of it, and what can be done about it."""

from gateway.admin.desk import Desk
from gateway.admin.pages import blueprint
from gateway.admin.settings import AdminSettings

__all__ = ["AdminSettings", "Desk", "blueprint"]
