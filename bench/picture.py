# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# One picture of a run as SVG: for each precision the fraction of the limit by tokens,
# and beside it how much longer the best peer takes.
import math
from html import escape

from . import goals

WIDTH, HEIGHT = 380, 230  # of a panel with its margins
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 30, 36
COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#e09f3e", "#7d5ba6", "#444444")
STYLE = "font-family:sans-serif;font-size:11px"


def draw(rows):
    """The text of the picture; routings other than random are left out."""
    table = goals.Rows(rows)
    panels = []
    for precision in ("f32", "bf16", "int8", "int4"):
        ours = list(table.ours(suite="moe", precision=precision, routing="random"))
        panels += _pair(table, ours, precision)
    panels += _pair(table, list(table.ours(suite="chain")), "dense chains, f32")
    names = sorted({name for panel in panels for name in panel["lines"]})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    height = HEIGHT * max(1, (len(panels) + 1) // 2) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}"'
        f' height="{height}" style="{STYLE}">',
        f'<rect width="{2 * WIDTH}" height="{height}" fill="white"/>',
    ]
    for i, name in enumerate(names):
        x = 12 + i * (2 * WIDTH - 20) // max(len(names), 1)
        parts.append(
            f'<rect x="{x}" y="8" width="10" height="10" fill="{colours[name]}"/>'
        )
        parts.append(_text(x + 14, 17, name))
    for i, panel in enumerate(panels):
        parts += _panel(panel, i % 2 * WIDTH, i // 2 * HEIGHT + 26, colours)
    return "\n".join([*parts, "</svg>", ""])


def _pair(table, ours, title):
    """Two panels, or none without rows."""
    if not ours:
        return []
    fraction, ratio = {}, {}
    for row in sorted(ours, key=lambda row: row["T"]):
        fraction.setdefault(row["cell"], []).append((row["T"], row["fraction"]))
        against = table.ratio(row)
        if against:
            ratio.setdefault(row["cell"], []).append((row["T"], against))
    ticks = sorted({row["T"] for row in ours})
    left = {"title": f"{title}: fraction of the limit", "lines": fraction}
    left |= {"ticks": ticks, "scale": _linear(1.1), "marks": (0, 0.25, 0.5, 0.75, 1)}
    right = {"title": f"{title}: best peer's time / gatecc's", "lines": ratio}
    marks = (0.25, 0.5, 1, 2, 4, 8)
    right |= {"ticks": ticks, "scale": _logarithmic(0.2, 10), "marks": marks}
    return [left, right]


def _linear(top):
    return lambda value: min(value / top, 1)


def _logarithmic(low, high):
    def scale(value):
        value = min(max(value, low), high)
        return math.log(value / low) / math.log(high / low)

    return scale


def _text(x, y, text, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(str(text))}</text>'


def _panel(panel, x0, y0, colours):
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(position, value):
        x = x0 + LEFT + width * position
        return x, y0 + TOP + height * (1 - panel["scale"](value))

    ticks = panel["ticks"]
    place = {t: i / max(len(ticks) - 1, 1) for i, t in enumerate(ticks)}
    yield _text(x0 + LEFT, y0 + TOP - 10, panel["title"])
    for mark in panel["marks"]:
        x, y = at(0, mark)
        colour = "#999999" if mark == 1 else "#e3e3e3"
        yield (
            f'<line x1="{x:.0f}" y1="{y:.1f}" x2="{x + width:.0f}" y2="{y:.1f}"'
            f' stroke="{colour}"/>'
        )
        yield _text(x - 6, y + 4, f"{mark:g}", "end")
    for t in ticks:
        x = x0 + LEFT + width * place[t]
        yield _text(x, y0 + TOP + height + 16, t, "middle")
    yield _text(x0 + LEFT + width / 2, y0 + HEIGHT - 5, "tokens", "middle")
    for name, points in panel["lines"].items():
        where = [at(place[t], value) for t, value in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
        yield (
            f'<polyline points="{line}" fill="none" stroke="{colours[name]}"'
            ' stroke-width="2"/>'
        )
        for x, y in where:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>'
