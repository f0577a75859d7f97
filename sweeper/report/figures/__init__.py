"""Figures of results: what is drawn is gathered as data first, then drawn in a few lines.

The only package that imports matplotlib, and it does so when something is drawn.
"""

from sweeper.report.figures.curves import curves_figure, curves_info, save_curves_figure
from sweeper.report.figures.errors import errors_figure, errors_info, save_errors_figure
from sweeper.report.figures.style import save_figure
from sweeper.report.figures.timeline import save_timeline_figure, timeline_figure, timeline_info

__all__ = [
    "curves_figure",
    "curves_info",
    "errors_figure",
    "errors_info",
    "save_curves_figure",
    "save_errors_figure",
    "save_figure",
    "save_timeline_figure",
    "timeline_figure",
    "timeline_info",
]
