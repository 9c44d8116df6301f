"""The operator's pages at /admin: overview, conversations, turns, failures, and the state of the platforms.

``gateway.admin.blueprint`` makes them, and is loaded when the first page is asked for.
"""

from gateway.admin.access.oidc_setup import check_extra
from gateway.admin.context import AdminContext, RunningBackend
from gateway.admin.pages.turn_log_stream import native_routes
from gateway.admin.settings import AdminSettings

__all__ = ["AdminContext", "AdminSettings", "RunningBackend", "check_extra", "native_routes"]
