"""The operator's pages at /admin: overview, conversations, turns, failures, and the state of the platforms."""

from gateway.admin.context import AdminContext, RunningBackend
from gateway.admin.pages import blueprint
from gateway.admin.settings import AdminSettings

__all__ = ["AdminContext", "AdminSettings", "RunningBackend", "blueprint"]
