"""Renders the page. Everything is in the one file: styles and curves too."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from micropump_host.accuracy.iec import Accuracy
from micropump_host.accuracy.plots import figure_to_svg, startup_figure, trumpet_figure
from micropump_host.client import Event


@dataclass(frozen=True)
class Run:
    """One infusion on the page.

    Attributes:
        title: its heading.
        accuracy: what the balance's record says.
        parameters: name and value of everything that was set, for the table.
        events: the pump's log.
        started_s: the pump's uptime when the infusion started, s.

    """

    title: str
    accuracy: Accuracy
    parameters: dict[str, str]
    events: Sequence[Event]
    started_s: float


def render_page(title: str, runs: Sequence[Run]) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("micropump_host.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(title=title, runs=[_view(run) for run in runs])


def _view(run: Run) -> dict[str, object]:
    accuracy = run.accuracy
    figures = [startup_figure(accuracy), trumpet_figure(accuracy)]
    if accuracy.t2 is not None:
        figures.append(trumpet_figure(accuracy, "T2"))
    return {
        "title": run.title,
        "figures": [_inline(figure_to_svg(figure)) for figure in figures],
        "numbers": accuracy.to_json_dict(),
        "parameters": run.parameters,
        "events": [
            {"at_s": event.uptime_s - run.started_s, "name": event.name, "text": event.text}
            for event in run.events
        ],
    }


def _inline(svg: str) -> Markup:
    """The <svg> element alone, without what only a file of its own needs before it."""
    return Markup(svg[svg.index("<svg") :])
