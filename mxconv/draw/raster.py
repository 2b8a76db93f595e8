"""An animation as pixels: a GIF by Pillow, or an MP4 by ffmpeg."""

import io
import math
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Iterable, Iterator

from .._progress import progress_of
from .figures import SHADES
from .film import CELL, FONT, SIGN_FONT, TITLE_FONT, Cell, Film, Text
from .paint import INK, LINE, PALE

WHITE = "#ffffff"
DASH = 3
TONES = 24  # between a color and the ink on it, for smooth letters
MANY_PIXELS = 20_000_000  # in all frames together, which take a few seconds
MAX_PIXELS = 400_000_000
CONTROLS = 64  # below the sum of a video: a player lays its controls there while it pauses
RATE = 5  # pictures per second of a video, at least: not every player copes with fewer


def gif(film: Film, seconds: float) -> bytes:
    """Return the animation as a GIF that repeats forever."""
    if film.pixels > MAX_PIXELS:  # which Pillow holds in memory, all frames together
        raise ValueError(
            f"too large for a GIF: {len(film.frames)} frames of {film.width}x{film.height} pixels "
            f"have {film.pixels}, expected at most {MAX_PIXELS}; choose an output_channel or "
            "another kind of file, or round the numbers, which makes cells narrower"
        )
    Image = _import_pillow()[0]
    palette = _palette(Image)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in _images(film)]
    centiseconds = [round(100 * seconds)] * (len(images) - 1) + [round(200 * seconds)]
    file = io.BytesIO()
    images[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=[10 * duration for duration in centiseconds],
        loop=0,
        optimize=True,  # only what changes, if Pillow is 10.1 or newer
    )
    return file.getvalue()


def mp4(film: Film, seconds: float) -> bytes:
    """Return the animation as a video, in the encoding that ffmpeg chooses for an MP4."""
    ffmpeg = _find_ffmpeg()
    with tempfile.TemporaryDirectory() as directory:
        video, log = Path(directory, "film.mp4"), Path(directory, "log")
        rate = 1 / Fraction(seconds).limit_denominator(1000)
        pictures = math.ceil(RATE / rate)  # of each frame, all of which take the same time
        size = f"{film.width}x{film.height}"
        command = [ffmpeg, "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-video_size", size, "-framerate", str(rate), "-i", "-"]
        # Without its filter `fps`, an older ffmpeg shows the last frame for one picture only.
        command += ["-vf", f"pad=h=ih+{CONTROLS}:color=white,fps={pictures * rate}"]
        command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        with log.open("wb") as errors, subprocess.Popen(
            [*command, str(video)], stdin=subprocess.PIPE, stdout=errors, stderr=errors
        ) as process:
            frames: Any = process.stdin
            try:
                with frames:  # it writes the last of them when it is closed
                    for image in _images(film):
                        frames.write(image.tobytes())
                    frames.write(image.tobytes())  # the last frame takes twice as long
                process.wait()
            except BrokenPipeError:
                pass  # it has ended, and has said why
            except BaseException:  # above all Ctrl-C
                process.kill()
                process.wait()
                raise
        data = video.read_bytes() if video.exists() else b""
        if process.returncode != 0 or not data:
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            said = said or f"it wrote {len(data)} bytes and returned {process.returncode}"
            raise RuntimeError(f"{ffmpeg} couldn't write the MP4: {said}")
        return data


def _images(film: Film) -> Iterator[Any]:
    """Paint the frames as RGB images."""
    Image, ImageDraw, ImageFont, font_file = _import_pillow()
    fonts = {
        size: ImageFont.truetype(font_file, size, layout_engine=ImageFont.Layout.BASIC)
        for size in (FONT, TITLE_FONT, SIGN_FONT)
    }

    def write(draw: Any, texts: Iterable[Text]) -> None:
        for text in texts:
            draw.text((text.x, text.y), text.text, INK, fonts[text.font], anchor="mm")

    background = Image.new("RGB", (film.width, film.height), WHITE)
    draw = ImageDraw.Draw(background)
    for cell in sorted(film.cells.values(), key=lambda cell: not cell.border):  # the padding first
        _paint_cell(draw, film, cell, PALE if cell.border else WHITE, LINE)
    write(draw, (text for text in film.texts if text.is_in(0) and text.until is None))
    # Without a terminal, each frame would be a line of its own.
    show = sys.stderr.isatty() and film.pixels > MANY_PIXELS
    for n, frame in enumerate(progress_of(film.frames, "draw.animate", "frame", show)):
        image = background.copy()
        draw = ImageDraw.Draw(image)
        for name in frame.lit:
            shade = SHADES[frame.channel % len(SHADES)]
            _paint_cell(draw, film, film.cells[name], shade, INK)
        lit = set(frame.lit)
        texts = [text for text in film.texts if text.is_in(n)]
        write(draw, (text for text in texts if text.since or text.until or text.cell in lit))
        write(
            draw,
            (
                Text(words.strip(), film.width / 2, film.line_y(line), FONT)
                for line, words in enumerate(frame.caption)
            ),
        )
        yield image


def _paint_cell(draw: Any, film: Film, cell: Cell, fill: str, line: str) -> None:
    """Paint a cell, dashed if it is padding; neighbors share their sides."""
    left, top, right, bottom = cell.x, cell.y, cell.x + film.cell_width, cell.y + CELL
    draw.rectangle((left, top, right, bottom), fill, None if cell.border else line)
    if cell.border:
        for x in range(left, right, 2 * DASH):
            for y in (top, bottom):
                draw.line((x, y, x + DASH - 1, y), line)
        for y in range(top, bottom, 2 * DASH):
            for x in (left, right):
                draw.line((x, y, x, y + DASH - 1), line)


def _palette(Image: Any) -> Any:
    """An image with a palette of all colors, from each background to the ink, and the lines'."""
    ink = _rgb(INK)
    colors = {_rgb(LINE)}
    for background in map(_rgb, (WHITE, PALE, *SHADES)):
        for tone in range(TONES + 1):
            mixed = (round(b + (i - b) * tone / TONES) for b, i in zip(background, ink))
            colors.add(tuple(mixed))
    image = Image.new("P", (1, 1))
    image.putpalette([part for color in sorted(colors) for part in color])
    return image


def _rgb(color: str) -> Any:
    return tuple(bytes.fromhex(color[1:]))


def _import_pillow() -> Any:
    """Return Pillow's modules, and the path of matplotlib's font, which has all signs."""
    try:
        import matplotlib
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError(
            "mxconv.draw.animate needs Pillow and matplotlib for a .gif or .mp4: run  "
            'python -m pip install "mxconv[plot]"'
        ) from error
    font = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return Image, ImageDraw, ImageFont, str(font)


def _find_ffmpeg() -> str:
    """The path of ffmpeg: of the system's, or else of the one in the package imageio-ffmpeg."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is none for this system
        raise ImportError(
            "mxconv.draw.animate needs ffmpeg for a .mp4: put one on the PATH, or run  "
            'python -m pip install "mxconv[video]"'
        ) from error
