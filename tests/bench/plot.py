# SPDX-License-Identifier: MPL-2.0
"""Plots as SVG, without any library: lines over a logarithmic x axis."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 70, 190, 40, 50
COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#6a4c93", "#555555", "#00798c")


def ticks(low, high):
    return [10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def short(value):
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def lines(path, title, x_name, y_name, curves, log_y=False):
    """curves: {name: [(x, y)]}, x > 0. On a logarithmic y axis what is 0 is drawn as 1."""
    curves = {name: [(x, max(y, 1) if log_y else y) for x, y in curve]
              for name, curve in curves.items()}
    points = [point for curve in curves.values() for point in curve]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_ticks = ticks(min(xs), max(xs))
    y_ticks = ticks(min(ys), max(ys)) if log_y else None
    if not log_y:
        step = 10 ** math.floor(math.log10(max(ys))) if max(ys) > 0 else 1
        step = step if max(ys) / step > 3 else step / 2
        y_ticks = [step * i for i in range(math.ceil(max(ys) / step) + 1)]

    def at_x(x):
        span = math.log10(x_ticks[-1] / x_ticks[0]) or 1
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(x / x_ticks[0]) / span

    def at_y(y):
        low, high = (math.log10(y_ticks[0]), math.log10(y_ticks[-1])) if log_y else \
            (y_ticks[0], y_ticks[-1])
        share = ((math.log10(y) if log_y else y) - low) / ((high - low) or 1)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>']
    for x in x_ticks:
        out.append(f'<line x1="{at_x(x):.1f}" y1="{TOP}" x2="{at_x(x):.1f}" y2="{HEIGHT - BOTTOM}" '
                   'stroke="#ddd"/>')
        out.append(f'<text x="{at_x(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                   f'{short(x)}</text>')
    for y in y_ticks:
        out.append(f'<line x1="{LEFT}" y1="{at_y(y):.1f}" x2="{WIDTH - RIGHT}" y2="{at_y(y):.1f}" '
                   'stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{at_y(y) + 4:.1f}" text-anchor="end">{short(y)}'
                   '</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_name)}</text>')
    out.append(f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" '
               f'transform="rotate(-90 16 {HEIGHT / 2})">{escape(y_name)}</text>')
    for i, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        path_text = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in sorted(curve))
        out.append(f'<polyline points="{path_text}" fill="none" stroke="{colour}" '
                   'stroke-width="2"/>')
        for x, y in curve:
            out.append(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"/>')
        row = TOP + 14 + 18 * i
        out.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{row - 9}" width="12" height="4" '
                   f'fill="{colour}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 30}" y="{row - 3}">{escape(name)}</text>')
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
