"""An animation as an SVG, which runs by itself, and as an HTML page, which has controls.

In both, what isn't always there has `data-since`, the frame from which on it is shown, and unless
it stays until the end `data-until`. Without a style or a script, the last frame is shown.
"""

import pkgutil
import zlib
from html import escape
from string import Template
from typing import Iterable, Optional

from .figures import SHADES
from .film import CELL, FONT, SIGN_FONT, TITLE_FONT, Film, Frame, Text
from .paint import INK, LINE, PALE

FAMILY = "DejaVu Sans, Verdana, Arial, sans-serif"
BASELINE = 0.36  # of a font's size: how far a baseline is below the middle


def svg(film: Film, seconds: float) -> bytes:
    """Return the animation as an SVG without a script, so that it also runs in an <img>.

    A page that holds several of these inline shares all names and styles between them. So names
    begin with one of its own.
    """
    own = f"film-{zlib.crc32(repr((film, seconds)).encode('utf-8')):08x}"
    page = '<rect width="100%" height="100%" fill="#fff"/>'
    style = f"<style>{_style(film, seconds, own)}</style>"
    return _drawing(film, film.height, own, style + page).encode("utf-8")


def html(film: Film, seconds: float) -> bytes:
    """Return the animation as an HTML page, which shows the sum below the picture as its text."""
    template = pkgutil.get_data(__package__, "animation.html")
    assert template is not None  # as it is for loaders that can't read data files
    text = Template(template.decode("utf-8")).substitute(
        title=escape(film.title),
        drawing=_drawing(film, film.picture_height, "film"),
        width=film.width,
        height=film.picture_height,
        last=len(film.frames) - 1,
        milliseconds=round(1000 * seconds),
    )
    return text.encode("utf-8")


def _drawing(film: Film, height: int, own: str, first: str = "") -> str:
    """The picture as an <svg> of the name `own`, which begins with `first`."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{own}" width="{film.width}" height="{height}"'
        f' viewBox="0 0 {film.width} {height}" role="img" aria-label="{escape(film.title)}"'
        f' font-family="{FAMILY}" text-anchor="middle" fill="{INK}">{first}'
    ]
    for kind, fill, dashes in (("padding", PALE, ' stroke-dasharray="3"'), ("cells", "#fff", "")):
        lines.append(f'<g class="{kind}" fill="{fill}" stroke="{LINE}">')
        size = f'width="{film.cell_width}" height="{CELL}"{dashes}'
        lines += [
            f'<rect id="{own}.{name}" x="{cell.x}" y="{cell.y}" {size}/>'
            for name, cell in film.cells.items()
            if cell.border == (kind == "padding")
        ]
        lines.append("</g>")
    for n, frame in enumerate(film.frames):
        lines += _frame(film, n, frame, own)
    for kind, font in (("title", TITLE_FONT), ("sign", SIGN_FONT), ("number", FONT)):
        lines.append(f'<g class="{kind}s" font-size="{font}">')
        lines += [_text(film, text) for text in film.texts if text.font == font]
        lines.append("</g>")
    return "\n".join([*lines, "</svg>\n"])


def _frame(film: Film, n: int, frame: Frame, own: str) -> Iterable[str]:
    """What is there in a single frame: its cells, drawn once more in color, and its sum."""
    shade = frame.channel % len(SHADES)
    yield f'<g id="{own}.frame.{n}"{_span(film, n, n + 1)}>'
    yield f'<g class="lit shade{shade}" fill="{SHADES[shade]}" stroke="{INK}" stroke-width="1.5">'
    yield "".join(f'<use href="#{own}.{name}"/>' for name in frame.lit)
    yield f'</g><text class="sum" font-size="{FONT}">'
    for line, text in enumerate(frame.caption):
        y = film.line_y(line) + BASELINE * FONT
        yield f'<tspan x="{film.width / 2:g}" y="{y:g}">{escape(text)}</tspan>'
    yield "</text></g>"


def _text(film: Film, text: Text) -> str:
    of = f' data-cell="{text.cell}"' if text.cell else ""
    place = f'x="{text.x:g}" y="{text.y + BASELINE * text.font:g}"'
    return f"<text {place}{of}{_span(film, text.since, text.until)}>{escape(text.text)}</text>"


def _span(film: Film, since: int, until: Optional[int]) -> str:
    """The attributes for the frames in which something is shown; none if that is all of them."""
    stays = until is None or until == len(film.frames)
    if stays:
        return f' data-since="{since}"' if since else ""
    return f' data-since="{since}" data-until="{until}" visibility="hidden"'


def _style(film: Film, seconds: float, own: str) -> str:
    """The rules that show and hide everything in time, unless the reader prefers less motion."""
    n = len(film.frames)
    spans = {(k, k + 1) for k in range(n)} | {(text.since, text.until or n) for text in film.texts}
    rules = [f"#{own} [data-since]{{animation:{(n + 1) * seconds:g}s step-end infinite}}"]
    keyframes = []
    for since, until in sorted(spans - {(0, n)}):
        name = f"{own}-{since}-{until}"
        until_is = f'[data-until="{until}"]' if until < n else ":not([data-until])"
        rules.append(f'#{own} [data-since="{since}"]{until_is}{{animation-name:{name}}}')
        moments = {0: "hidden", since: "visible", until: "hidden"}
        if until == n:
            del moments[n]
        steps = "".join(
            f"{100 * k / film.beats:.6g}%{{visibility:{value}}}" for k, value in moments.items()
        )
        keyframes.append(f"@keyframes {name}{{{steps}}}")
    motion = "\n".join(rules)
    return f"@media (prefers-reduced-motion:no-preference){{{motion}}}\n" + "\n".join(keyframes)
