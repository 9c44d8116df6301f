"""The operator's pages at /admin: overview, conversations, turns, failures, and the state of the platforms."""

from gateway.admin.context import AdminContext, RunningBackend
from gateway.admin.pages import blueprint
from gateway.admin.settings import AdminSettings
from gateway.admin.turn_log_stream import native_routes

__all__ = ["AdminContext", "AdminSettings", "RunningBackend", "blueprint", "native_routes"]
