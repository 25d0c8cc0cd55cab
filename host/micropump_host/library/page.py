"""A page for the review of a library: every limit with its source, in one HTML file."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from micropump_host.library.card import cards
from micropump_host.library.model import LEVELS, Library
from micropump_host.library.source import source_sha256


def render_table(library: Library) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=PackageLoader("micropump_host.library"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("library.html.j2").render(
        library=library,
        levels=[name.replace("_", " ") for name in LEVELS],
        drugs=[(drug, cards(library, drug)) for drug in library.drugs],
        source_sha256=source_sha256(library),
    )
