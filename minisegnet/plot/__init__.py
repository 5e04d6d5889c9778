"""Pictures of a run: learning curves, predictions beside the truth, masks over images.

The drawing functions return a Matplotlib figure, which a notebook shows by itself, and write it to
``path`` if one is given (PNG, PDF or SVG; equal input gives equal bytes).
No figure touches pyplot's global state or the reader's own Matplotlib settings. Matplotlib is
imported when the first figure is drawn.
"""

from __future__ import annotations

from minisegnet.colours import overlay, palette
from minisegnet.plot.charts import comparison, curves
from minisegnet.plot.pictures import predictions, side_by_side

__all__ = ["comparison", "curves", "overlay", "palette", "predictions", "side_by_side"]
