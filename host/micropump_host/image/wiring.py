"""The wiring diagram: an SVG drawn from a board's data, so that it cannot differ from them.

The carrier stands in the middle as seen from above with the USB socket at the top; each part stands
on the side where its pins are, in their order. Supplies are tags, not lines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from micropump_host.image.board import NETS, Board, Part, Pin
from micropump_host.image.chip import HEADER_GPIO, HEADER_PINS, HEADER_SUPPLY, header_pin

WIDTH = 1340
_MARGIN = 30
_HEAD = 96
_PITCH = 38
_ROW = 40
_TITLE = 26
_GAP = 14
_BOX_WIDTH = 186
_TAG_WIDTH = 88
_CARRIER_LEFT, _CARRIER_RIGHT = 565, 775
_PULL_ROOM = 118
_LANES_FROM = 62
_SIDE_PINS = HEADER_PINS // 2

# Okabe and Ito's colours, which people with any colour vision can tell apart.
_GROUPS = (
    ("motor", "#0072B2", ("step", "dir", "step_count", "driver_tx", "driver_rx")),
    ("stops the motor", "#C44601", ("enable", "interlock", "driver_fault")),
    ("sensors", "#00795A", (
        "i2c_sda", "i2c_scl", "hx711_data", "hx711_clock", "air", "air_level", "door", "home",
        "pressure", "upstream", "barrel", "plunger", "battery", "rail",
    )),
    ("buttons, buzzer, lights", "#7A4E9C", (
        "start_stop_button", "bolus_button", "buzzer", "red_light", "yellow_light", "green_light",
    )),
)  # fmt: skip
_NET_COLOURS = {"GND": "#333333", "3V3": "#C44601", "5V": "#A80000", "12V": "#6B0057"}
_OTHER = "#5F6B76"
_STYLE = """\
text { font-family: 'DejaVu Sans', Verdana, Arial, sans-serif; font-size: 12px; fill: #1d2329; }
.title { font-size: 22px; font-weight: bold; } .sub { font-size: 13px; fill: #5f6b76; }
.name { font-size: 12px; font-weight: bold; } .small { font-size: 10.5px; fill: #5f6b76; }
.tag { font-size: 10px; fill: #ffffff; font-weight: bold; }
.wire { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.part { fill: #ffffff; stroke: #9aa5b1; stroke-width: 1.2; }
.carrier { fill: #1f5c3d; stroke: #123726; stroke-width: 1.5; } .light { fill: #ffffff; }
.number { font-size: 9.5px; fill: #cfe3d8; }
"""


@dataclass
class _Drawing:
    """Elements of the SVG in the order in which they are painted."""

    lines: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        kind = f" class={quoteattr(style)}" if style else ""
        self.lines.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, style: str) -> None:
        self.lines.append(
            f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
            ' rx="6"/>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, about: str = "") -> None:
        path = " ".join(
            f"{'L' if number else 'M'}{x:g} {y:g}" for number, (x, y) in enumerate(points)
        )
        self.lines.append(f'<path class="wire" stroke="{colour}" d="{path}"{about}/>')

    def dot(self, x: float, y: float, colour: str) -> None:
        self.lines.append(f'<circle cx="{x:g}" cy="{y:g}" r="3.6" fill="{colour}"/>')

    def tag(self, x: float, y: float, text: str, width: float) -> None:
        """A supply, or a terminal elsewhere, in a coloured chip with its left middle at (x, y)."""
        colour = _NET_COLOURS.get(text, _OTHER)
        self.lines.append(
            f'<rect x="{x:g}" y="{y - 8:g}" width="{width:g}" height="16" rx="8" fill="{colour}"/>'
        )
        self.text(x + width / 2, y + 3.6, text.replace(".", " "), "tag", "middle")

    def resistor(self, x: float, y: float, ohm: int, colour: str) -> None:
        """A resistor with its value, 40 wide, its left middle at (x, y)."""
        self.lines.append(
            f'<rect x="{x:g}" y="{y - 7:g}" width="40" height="14" fill="#ffffff"'
            f' stroke="{colour}" stroke-width="1.6"/>'
        )
        self.text(x + 20, y + 3.6, _ohm(ohm), "small", "middle")


@dataclass(frozen=True)
class _Box:
    """A part's place: its terminals that GPIOs are wired to, in order, and its other nets."""

    part: Part
    terminals: tuple[str, ...]
    top: float

    @property
    def nets(self) -> list[tuple[str, str]]:
        return list(self.part.nets.items())

    @property
    def height(self) -> float:
        return _TITLE + _ROW * max(len(self.terminals), len(self.nets), 1)

    def row(self, number: int) -> float:
        return self.top + _TITLE + _ROW * (number + 0.5)

    def terminal_y(self, terminal: str) -> float:
        return self.row(self.terminals.index(terminal))


def render_wiring(board: Board) -> str:
    """The diagram as the text of an SVG file; the same text for the same board.

    Args:
        board: read and checked.

    """
    drawing = _Drawing()
    sides = [_placed(board, _side_pins(board, left)) for left in (True, False)]
    lowest = max([_pin_y(_SIDE_PINS), *(box.top + box.height for side in sides for box in side)])
    _draw_carrier(drawing, board)
    for left, boxes in zip((True, False), sides, strict=True):
        for box in boxes:
            _draw_box(drawing, box, left)
        _draw_wires(drawing, _side_pins(board, left), boxes, left)
    shown = {box.part.role for side in sides for box in side}
    bottom = _draw_others(drawing, _others(board, shown), lowest + 2 * _GAP + 20)
    _draw_head(drawing, board)
    height = bottom + _MARGIN
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}"'
            f' width="{WIDTH}" height="{height:g}" role="img">',
            f"<title>Wiring of Micropump on {escape(board.name)}</title>",
            f"<style>\n{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height:g}" fill="#f6f8fa"/>',
            *drawing.lines,
            "</svg>\n",
        )
    )


def _colour(function: str) -> str:
    return next((colour for _, colour, names in _GROUPS if function in names), _OTHER)


def _ohm(ohm: int) -> str:
    return f"{ohm // 1000}k" if ohm >= 1000 and ohm % 1000 == 0 else str(ohm)


def _place(pin: Pin) -> int:
    """The header's pin of a GPIO; a board that was checked has one for each."""
    return header_pin(pin.gpio) or 0


def _pin_y(number: int) -> float:
    """Height of a header pin, counted 1 to 20 down the left side and 40 to 21 down the right."""
    down = number if number <= _SIDE_PINS else HEADER_PINS + 1 - number
    return _HEAD + 62 + _PITCH * (down - 1)


def _side_pins(board: Board, left: bool) -> list[Pin]:
    pins = [pin for pin in board.pins if (_place(pin) <= _SIDE_PINS) == left]
    return sorted(pins, key=lambda pin: _pin_y(_place(pin)))


def _placed(board: Board, pins: Iterable[Pin]) -> list[_Box]:
    """The parts of one side from the top down, each as near to its pins as it fits."""
    terminals: dict[str, dict[str, float]] = {}
    for pin in pins:
        terminals.setdefault(pin.to_role, {}).setdefault(pin.to_terminal, _pin_y(_place(pin)))
    boxes: list[_Box] = []
    top = float(_HEAD)
    for role, named in terminals.items():
        part = board.part(role)
        if part is None:
            continue
        wanted = next(iter(named.values())) - _TITLE - _ROW / 2
        box = _Box(part, tuple(named), max(top, wanted))
        boxes.append(box)
        top = box.top + box.height + _GAP
    return boxes


def _others(board: Board, shown: set[str]) -> list[Part]:
    """Parts with terminals that no GPIO is wired to; resistors stand in the wires instead."""
    drawn_as_resistors = {f"{pin.function}_pull" for pin in board.pins}
    return [
        part
        for part in board.parts
        if part.nets
        and part.role not in shown
        and part.role != "controller"
        and part.role not in drawn_as_resistors
    ]


def _title(role: str) -> str:
    return role.replace("_", " ")


def _draw_head(drawing: _Drawing, board: Board) -> None:
    drawing.text(_MARGIN, 42, f"Micropump on {board.name}: wiring", "title")
    drawing.text(
        _MARGIN, 64, "A bench and development device, never for patients. " + _ran(board), "sub"
    )
    x = WIDTH - _MARGIN - 250.0
    for number, (name, colour, _) in enumerate(_GROUPS):
        y = 24 + 16 * number
        drawing.line([(x, y), (x + 34, y)], colour)
        drawing.text(x + 42, y + 4, name, "small")


def _ran(board: Board) -> str:
    return f"Run by this project on: {board.runs}." if "not" not in board.runs else "Not run here."


def _draw_carrier(drawing: _Drawing, board: Board) -> None:
    height = _pin_y(_SIDE_PINS) - _HEAD + 40
    width = _CARRIER_RIGHT - _CARRIER_LEFT
    middle = (_CARRIER_LEFT + _CARRIER_RIGHT) / 2
    drawing.box(_CARRIER_LEFT, _HEAD, width, height, "carrier")
    drawing.lines.append(
        f'<rect x="{middle - 34:g}" y="{_HEAD - 10}" width="68" height="34" rx="3" fill="#c8ccd0"'
        ' stroke="#8b9096"/>'
    )
    drawing.text(middle, _HEAD + 12, "USB", "small", "middle")
    drawing.text(middle, _HEAD + 42, board.name, "name light", "middle")
    controller = board.part("controller")
    nets = controller.nets if controller else {}
    by_gpio = {pin.gpio: pin for pin in board.pins}
    for number in range(1, HEADER_PINS + 1):
        _draw_header_pin(drawing, number, nets.get(HEADER_SUPPLY.get(number, "")), by_gpio)


def _draw_header_pin(
    drawing: _Drawing, number: int, net: str | None, by_gpio: dict[int, Pin]
) -> None:
    left = number <= _SIDE_PINS
    y = _pin_y(number)
    edge, sign, anchor = (_CARRIER_LEFT, 1, "start") if left else (_CARRIER_RIGHT, -1, "end")
    gpio = HEADER_GPIO.get(number)
    pin = by_gpio.get(gpio) if gpio is not None else None
    colour = _colour(pin.function) if pin else _NET_COLOURS.get(net or "", "#8fb3a0")
    drawing.dot(edge, y, colour)
    name = f"GP{gpio}" if gpio is not None else HEADER_SUPPLY[number]
    drawing.text(edge + sign * 10, y + 3.5, f"{number}", "number", anchor)
    drawing.text(edge + sign * 28, y + 4, name, "light", anchor)
    if net:
        x = edge - 52 if left else edge + 10
        drawing.tag(x, y, net, 42)


def _draw_box(drawing: _Drawing, box: _Box, left: bool) -> None:
    x = float(_MARGIN + _TAG_WIDTH if left else WIDTH - _MARGIN - _TAG_WIDTH - _BOX_WIDTH)
    _draw_part(drawing, box, x, tags_left=left)
    for terminal in box.terminals:
        y = box.terminal_y(terminal)
        at, anchor = (x + _BOX_WIDTH - 10, "end") if left else (x + 10, "start")
        drawing.text(at, y + 4, terminal, "", anchor)


def _draw_part(drawing: _Drawing, box: _Box, x: float, *, tags_left: bool) -> None:
    """Box, name, and the tags of a part on its outer side."""
    drawing.box(x, box.top, _BOX_WIDTH, box.height, "part")
    drawing.text(x + 10, box.top + 18, _title(box.part.role), "name")
    if box.part.optional:
        drawing.text(x + _BOX_WIDTH - 10, box.top + 18, "optional", "small", "end")
    for number, (terminal, net) in enumerate(box.nets):
        y = box.row(number)
        edge = x if tags_left else x + _BOX_WIDTH
        tag_width = _TAG_WIDTH - 12 if net not in NETS else 42
        start = edge - 8 - tag_width if tags_left else edge + 8
        drawing.line([(edge, y), (edge - 8 if tags_left else edge + 8, y)], _OTHER)
        drawing.tag(start, y, net, tag_width)
        at, anchor = (edge + 8, "start") if tags_left else (edge - 8, "end")
        drawing.text(at, y + 4, terminal, "small", anchor)


def _draw_wires(drawing: _Drawing, pins: list[Pin], boxes: list[_Box], left: bool) -> None:
    by_role = {box.part.role: box for box in boxes}
    ends = [
        (pin, _pin_y(_place(pin)), by_role[pin.to_role].terminal_y(pin.to_terminal)) for pin in pins
    ]
    lanes = _lanes(ends)
    sign = -1 if left else 1
    start = _CARRIER_LEFT if left else _CARRIER_RIGHT
    edge = _part_edge(left)
    room = abs(start - edge) - _PULL_ROOM - _LANES_FROM
    taken: set[tuple[str, str]] = set()
    for pin, from_y, to_y in ends:
        lane = start + sign * (
            _LANES_FROM + room * (lanes.get(pin.function, 0) + 0.5) / max(len(lanes), 1)
        )
        # A second wire to a terminal joins the first just before it.
        second = (pin.to_role, pin.to_terminal) in taken
        taken.add((pin.to_role, pin.to_terminal))
        beside_y = to_y + (11 if second else 0)
        joint = edge - sign * 10
        points = [(start, from_y), (lane, from_y), (lane, beside_y), (joint, beside_y)]
        about = f' data-function="{pin.function}" data-gpio="{pin.gpio}"'
        drawing.line([*points, (joint, to_y), (edge, to_y)], _colour(pin.function), about)
    for pin, _, to_y in ends:
        _draw_resistors(drawing, pin, edge, to_y, left)


def _part_edge(left: bool) -> float:
    """Where the parts of a side end towards the carrier."""
    outer = _MARGIN + _TAG_WIDTH + _BOX_WIDTH
    return float(outer if left else WIDTH - outer)


def _lanes(ends: list[tuple[Pin, float, float]]) -> dict[str, int]:
    """The vertical lane of each wire that is not straight, counted from the carrier.

    Wires that go down turn the earlier the lower they start, those that go up the earlier the
    higher, so that neighbours do not cross.
    """
    up = [pin for pin, from_y, to_y in ends if to_y < from_y]
    down = [pin for pin, from_y, to_y in reversed(ends) if to_y > from_y]
    return {pin.function: number for number, pin in enumerate([*up, *down])}


def _draw_resistors(drawing: _Drawing, pin: Pin, edge: float, y: float, left: bool) -> None:
    colour = _colour(pin.function)
    drawing.dot(edge, y, colour)
    if pin.series_ohm:
        x = edge + 20 if left else edge - 60
        drawing.resistor(x, y, pin.series_ohm, colour)
    if pin.external_pull != "none":
        net = "3V3" if pin.external_pull == "up" else "GND"
        above = y - 15
        joint = edge + 104 if left else edge - 104
        resistor = edge + 52 if left else edge - 92
        drawing.dot(joint, y, colour)
        drawing.line([(joint, y), (joint, above), (resistor + (40 if left else 0), above)], colour)
        drawing.resistor(resistor, above, pin.external_pull_ohm, colour)
        drawing.tag(edge + 8 if left else edge - 50, above, net, 42)


def _draw_others(drawing: _Drawing, parts: list[Part], top: float) -> float:
    """Boxes of the parts that no GPIO is wired to, in rows; returns the lowest edge."""
    drawing.text(_MARGIN, top, "Wired among themselves", "name")
    across = (WIDTH - 2 * _MARGIN) // (_BOX_WIDTH + _TAG_WIDTH + _GAP)
    lowest = row_top = top + 12
    for number, part in enumerate(parts):
        if number % across == 0:
            row_top = lowest + (_GAP if number else 0)
        box = _Box(part, (), row_top)
        x = _MARGIN + _TAG_WIDTH + (number % across) * (_BOX_WIDTH + _TAG_WIDTH + _GAP)
        _draw_part(drawing, box, float(x), tags_left=True)
        lowest = max(lowest, box.top + box.height)
    return lowest
