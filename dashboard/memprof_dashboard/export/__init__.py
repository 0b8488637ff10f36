"""The dashboard's views as files: one page that needs no server, and pictures of its charts."""

from memprof_dashboard.export.page import write_html
from memprof_dashboard.export.pictures import write_pictures

__all__ = ["write_html", "write_pictures"]
