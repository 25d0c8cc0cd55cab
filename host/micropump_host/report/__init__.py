"""A page that shows infusions: curves, numbers, parameters and events, in one HTML file."""

from micropump_host.report.page import Run, render_page

__all__ = ["Run", "render_page"]
