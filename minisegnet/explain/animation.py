"""A walkthrough as a film: the window slides, the sums appear, saved as a GIF."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minisegnet.checkpoint import atomic_write
from minisegnet.explain.blocks import EquationBlock, Flow, TextBlock, wrap
from minisegnet.explain.figure import Sheet, heading, panel_blocks, pixels
from minisegnet.explain.tables import PlaneBlock

if TYPE_CHECKING:
    from minisegnet.explain.walkthrough import Moment, Walkthrough

MOST_FRAMES = 400
_WIDEST, _NARROWEST = 24.0, 13.0
_SENTENCE = 10.5


def save(
    walk: Walkthrough,
    path: str | os.PathLike[str],
    channel: int,
    n: int,
    seconds: float,
    dpi: int,
) -> None:
    """Write the moments of a walkthrough as a GIF that runs for ever."""
    from PIL import Image

    if Path(path).suffix.lower() != ".gif":
        raise ValueError(f"animate: {os.fspath(path)!r} must end in .gif")
    moments = list(islice(walk.moments(channel, n), MOST_FRAMES + 1))
    if len(moments) > MOST_FRAMES:
        raise ValueError(
            f"animate: {walk.op} has more than {MOST_FRAMES} frames here: use a smaller input"
        )
    pictures = [Image.fromarray(picture) for picture in _pictures(moments, walk, dpi)]
    # One palette for all frames, or colours would flicker; the last frame has them all.
    palette = _together(pictures[0], pictures[-1]).quantize(256)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [int(1000 * seconds)] * len(frames)
    durations[-1] = int(3000 * seconds)
    with atomic_write(path, "wb") as file:
        frames[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
            optimize=False,
        )


def _together(first: Any, last: Any) -> Any:
    from PIL import Image

    both = Image.new("RGB", (first.width, 2 * first.height))
    both.paste(first, (0, 0))
    both.paste(last, (0, first.height))
    return both


def _pictures(moments: list[Moment], walk: Walkthrough, dpi: int) -> list[Any]:
    """The frames as arrays of pixels, all of one size and with the matrices in one place."""
    characters: dict[str, int] = {}
    for panel in (panel for moment in moments for panel in moment.panels):
        words = (w for plane in panel.planes() for row in plane.texts() for w in row)
        characters[panel.name] = max(characters.get(panel.name, 0), max(map(len, words)))
    flows = [Flow(_blocks(moment, characters), _WIDEST) for moment in moments]
    width = max([_NARROWEST, *(flow.width for flow in flows)])
    sheets = [_sheet(m, flow, walk, width) for m, flow in zip(moments, flows, strict=True)]
    height = max(sheet.height for sheet in sheets)
    return [pixels(sheet.figure(height), dpi) for sheet in sheets]


def _blocks(moment: Moment, characters: dict[str, int]) -> list[PlaneBlock]:
    return [
        block
        for panel in moment.panels
        for block in panel_blocks(panel, moment.lit, characters[panel.name], most=2)
    ]


def _sheet(moment: Moment, flow: Flow, walk: Walkthrough, width: float) -> Sheet:
    sheet = Sheet(width)
    sheet.add(TextBlock([heading(walk)], size=12, weight="bold"))
    sheet.space(0.2)
    sheet.add(flow)
    sheet.space(0.3)
    if moment.ledger is not None:
        sheet.add(EquationBlock(moment.ledger, width))
    else:
        sheet.add(TextBlock(wrap(moment.sentence, width, _SENTENCE), size=_SENTENCE))
    return sheet
