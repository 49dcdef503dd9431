"""Requests a second by server, drawn as SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.harness import Row, median, numbers
from benchmarks.serve.goals import BARE, CLIENTS, MODELS, OURS, PRECISIONS, SHORT
from benchmarks.serve.peers import PEERS

_SERVERS: Final = (OURS, *(peer.name for peer in PEERS))
_COLOURS: Final = ("#0b6e4f", "#c8553d", "#f28f3b", "#588b8b")
_BAR, _GAP, _HEIGHT, _TOP, _LEFT = 16, 20, 220, 56, 24
_GROUP: Final = len(_SERVERS) * _BAR + _GAP
_WIDTH: Final = len(CLIENTS) * _GROUP + 2 * _LEFT


def draw(rows: Sequence[Row], path: Path) -> None:
    """A panel for each model and precision; the line is the best bare loop."""
    panels = [(model, precision) for model in MODELS for precision in PRECISIONS]
    drawn = [
        f'<g transform="translate({number * _WIDTH} 0)">{_panel(rows, *panel)}</g>'
        for number, panel in enumerate(panels)
    ]
    legend = "".join(
        f'<rect x="{_LEFT + number * 110}" y="{_TOP + _HEIGHT + 32}" width="10" height="10" fill="{colour}"/>'
        f'<text x="{_LEFT + 14 + number * 110}" y="{_TOP + _HEIGHT + 41}">{escape(server)}</text>'
        for number, (server, colour) in enumerate(zip(_SERVERS, _COLOURS, strict=True))
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH * len(panels)}" '
        f'height="{_TOP + _HEIGHT + 56}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(drawn)}{legend}</svg>\n'
    )


def _panel(rows: Sequence[Row], model: str, precision: str) -> str:
    where: Row = {"part": "throughput", "model": model, "precision": precision, "texts": SHORT}
    bare = max(numbers(rows, "rate", server=BARE, **where), default=0.0)
    rates = {
        (server, clients): median(rows, "rate", server=server, setting=f"{clients} clients", **where) or 0.0
        for server in _SERVERS
        for clients in CLIENTS
    }
    highest = max(bare, *rates.values()) or 1.0
    floor = _TOP + _HEIGHT
    parts = [f'<text x="{_LEFT}" y="20" font-size="13">{model} {precision}: requests a second</text>']
    for group, clients in enumerate(CLIENTS):
        left = _LEFT + group * _GROUP
        parts.append(f'<text x="{left}" y="{floor + 16}">{clients} client{"s" * (clients > 1)}</text>')
        for place, (server, colour) in enumerate(zip(_SERVERS, _COLOURS, strict=True)):
            rate = rates[server, clients]
            height = _HEIGHT * rate / highest
            x, y = left + place * _BAR, floor - height
            parts.append(
                f'<rect x="{x}" y="{y:.1f}" width="{_BAR - 2}" height="{height:.1f}" fill="{colour}"/>'
            )
            if rate:
                parts.append(f'<text x="{x}" y="{y - 3:.1f}" font-size="8">{rate:.0f}</text>')
    line = floor - _HEIGHT * bare / highest
    parts.append(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{line:.1f}" y2="{line:.1f}" stroke="#444" '
        f'stroke-dasharray="4 3"/><text x="{_LEFT}" y="36">{BARE} alone, best loop: {bare:.0f}</text>'
    )
    return "".join(parts)
