"""A page of sections: figures that matter, curves, tables; for whoever has no infusion to show."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: above it.
        head: of its columns.
        rows: as many texts in each as there are columns; without any the page says "none".

    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        text: what to know before looking.
        key: what is said first, as (what, figure).
        figures: SVG elements.
        tables: below them.

    """

    title: str
    text: str = ""
    key: tuple[tuple[str, str], ...] = ()
    figures: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def render_sections(title: str, warning: str, sections: Sequence[Section]) -> str:
    """The page as HTML, everything in the one file."""
    environment = Environment(
        loader=PackageLoader("micropump_host.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    views = [
        {
            "title": section.title,
            "text": section.text,
            "key": section.key,
            "figures": [Markup(svg[svg.index("<svg") :]) for svg in section.figures],
            "tables": section.tables,
        }
        for section in sections
    ]
    template = environment.get_template("sections.html.j2")
    return template.render(title=title, warning=warning, sections=views)
