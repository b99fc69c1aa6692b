"""The charts, as SVG without a script: Vega-Lite's, drawn by vl-convert, without a browser.

Each is drawn twice, for a wide screen and for a phone, as text in a picture does not flow. Colours are the
page's, by name, so that they follow light and dark. No chart holds what people wrote.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

WIDTHS = {"wide": 760, "narrow": 340}
"""Pixels of a chart, with its labels, by the name of its class in the page."""

_VERSION = "5.20"
"""Of Vega-Lite: the scheme of these charts."""
_LABEL = {"labelColor": "var(--soft)", "labelFont": "inherit", "labelFontSize": 12, "title": None}
_CONFIG = {
    "aria": False,
    "background": None,
    "view": {"stroke": None},
    "axis": {**_LABEL, "domain": False, "ticks": False, "labelPadding": 8, "grid": False},
    "axisY": {"grid": True, "gridColor": "var(--line)"},
}


def bars(labels: Sequence[str], whole: Sequence[int], part: Sequence[int] | None = None) -> Markup:
    """Draw bars from left to right; those of `part` are within those of `whole`, and stand out."""
    values = [
        {"label": label, "whole": count, "part": within}
        for label, count, within in zip(labels, whole, part or whole, strict=True)
    ]

    def chart(name: str) -> dict[str, Any]:
        fits = 9 if name == "wide" else 4
        size = 12 if name == "wide" else 11
        step = -(-len(labels) // fits)
        shown = list(labels[::-1][::step]) if part else list(labels)
        ticks = min(4, max(1, *whole))
        layers = [_bar("whole", "var(--muted)" if part else "var(--accent)", ticks)]
        if part:
            layers.append(_bar("part", "var(--accent)", ticks))
        return {
            "height": 200 if name == "wide" else 150,
            "data": {"values": values},
            "encoding": {
                "x": {
                    "field": "label",
                    "type": "nominal",
                    "sort": None,
                    "scale": {"paddingInner": 0.25 if len(labels) < 100 else 0.05, "paddingOuter": 0},
                    "axis": {"values": shown, "labelAngle": 0, "labelOverlap": False, "labelFontSize": size},
                }
            },
            "layer": layers,
        }

    return _drawn(chart)


def _bar(field: str, color: str, ticks: int) -> dict[str, Any]:
    axis = {"tickCount": ticks, "format": "~s"}
    return {
        "mark": {"type": "bar", "color": color},
        "encoding": {"y": {"field": field, "type": "quantitative", "stack": None, "axis": axis}},
    }


def week(counts: Mapping[tuple[int, int], int], weekdays: Sequence[str]) -> Markup:
    """Draw weekdays by hours: the more, the darker.

    Args:
        counts: by weekday (from 1) and hour.
        weekdays: their names, from Monday.
    """
    values = [
        {"weekday": weekdays[weekday - 1], "hour": hour, "count": count}
        for (weekday, hour), count in sorted(counts.items())
    ]

    def chart(name: str) -> dict[str, Any]:
        hours = range(0, 24, 3 if name == "wide" else 6)
        return {
            "height": {"step": 28 if name == "wide" else 22},
            "data": {"values": values},
            "mark": {"type": "rect", "color": "var(--accent)"},
            "encoding": {
                "x": {
                    "field": "hour",
                    "type": "ordinal",
                    "scale": {"paddingInner": 0.1, "paddingOuter": 0},
                    "axis": {
                        "values": list(hours),
                        "labelAngle": 0,
                        "labelExpr": "(datum.value < 10 ? '0' : '') + datum.value + ':00'",
                    },
                },
                "y": {
                    "field": "weekday",
                    "type": "nominal",
                    "sort": None,
                    "scale": {"paddingInner": 0.12, "paddingOuter": 0},
                    "axis": {"grid": False},
                },
                "fillOpacity": {
                    "field": "count",
                    "type": "quantitative",
                    "scale": {"range": [0.06, 1], "domainMin": 0},
                    "legend": None,
                },
            },
        }

    return _drawn(chart)


def _drawn(chart: Any) -> Markup:
    """Return the chart in each of its widths."""
    drawings = []
    for name, width in WIDTHS.items():
        specification = {
            **chart(name),
            "width": width,
            "autosize": {"type": "fit-x", "contains": "padding"},
            "padding": 2,
            "config": _CONFIG,
        }
        svg = vl_convert.vegalite_to_svg(specification, vl_version=_VERSION, allowed_base_urls=[])
        drawings.append(
            svg.replace("<svg ", f'<svg aria-hidden="true" focusable="false" data-width="{name}" ', 1)
        )
    return Markup("".join(drawings))  # noqa: S704 - of numbers, dates and the page's own words
