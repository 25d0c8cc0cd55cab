"""Pages in one HTML file: infusions with curves, numbers and events, or sections of anything."""

from micropump_host.report.page import Run, render_page
from micropump_host.report.sections import Section, Table, render_sections

__all__ = ["Run", "Section", "Table", "render_page", "render_sections"]
