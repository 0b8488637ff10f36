"""The dashboard: what a trace says, in a browser on this machine."""

from memprof_dashboard.app import create_app
from memprof_dashboard.server import serve

__all__ = ["create_app", "serve"]
