"""The benchmark's figures as a page and a plot."""

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.benchmark.bars import Bar
from tests.benchmark.page import UNUSUAL, VIEWS, put, put_rows
from tests.benchmark.views import Timing, total

Result = dict[str, Any]


def write(folder: Path, results: Sequence[Result], losses: Sequence[Result], bars: Sequence[Bar]) -> None:
    """Write the first part of `benchmark.md`, and `benchmark.svg`, into a folder."""
    plot(folder / "benchmark.svg", results)
    put(folder / "benchmark.md", "\n".join(_page(results, losses, bars)))


def write_views(folder: Path, timed: Sequence[Timing], bars: Sequence[Bar], rows: int) -> None:
    """Put the part of the views into `benchmark.md`."""
    lines = [
        f"{VIEWS}: {rows:,} replies and {rows:,} receipts",
        "",
        f"Each view's whole result, in DuckDB, by two threads ({os.cpu_count()} cores,",
        f"Python {platform.python_version()}). The load average was {os.getloadavg()[1]:.1f} at the end;",
        "above 2, something else ran.",
        '`make bench ARGS="--only views"` measures this section by itself.',
        "",
        "| view | seconds | CPU seconds | rows |",
        "|---|--:|--:|--:|",
        *(
            f"| {timing.view} | {timing.seconds:.1f} | {timing.cpu_seconds:.1f} | {timing.rows:,} |"
            for timing in (*timed, total(timed))
        ),
    ]
    put(folder / "benchmark.md", "\n".join([*lines, "", *_bars(bars)]))


def write_unusual(folder: Path, bars: Sequence[Bar]) -> None:
    """Put bars of unusual work into their part of `benchmark.md`; those that were not measured stay."""
    lines = [
        UNUSUAL,
        "",
        "A steady trickle, long texts, receipts, a large archive, a journal far away, options. A line is",
        'from the last time that it was measured: `make bench ARGS="--only unusual --bars encryption"`.',
        "",
    ]
    head, rows = _bars(bars)[:2], _bars(bars)[2:]
    put_rows(folder / "benchmark.md", "\n".join([*lines, *head]), rows)


def _bars(bars: Sequence[Bar]) -> list[str]:
    lines = ["| | measured | bar | |", "|---|--:|--:|---|"]
    for bar in bars:
        bound = f"{'≤' if bar.at_most else '≥'} {bar.bound:g}{bar.unit}"
        measured = f"{bar.value:.3g}{bar.unit} ({bar.spread})"
        lines.append(f"| {bar.name} | {measured} | {bound} | {'met' if bar.is_met else '**missed**'} |")
    return lines


def _page(results: Sequence[Result], losses: Sequence[Result], bars: Sequence[Bar]) -> list[str]:
    lines = [
        "# Benchmark",
        "",
        "Written by `make bench` from one run, which anyone can repeat: every contender in turn, round after",
        f"round, against the same simulator ({os.cpu_count()} cores, Python {platform.python_version()}).",
        "Median (least to most).",
        "",
        "![Replies a second and CPU of each contender](benchmark.svg)",
    ]
    for setting in dict.fromkeys(result["setting"] for result in results):
        of_setting = [result for result in results if result["setting"] == setting]
        lines += [
            "",
            f"## {setting.capitalize()}: {of_setting[0]['replies']:,} replies",
            "",
            "| contender | replies a second | CPU seconds a million | peak memory, MB | requests |",
            "|---|--:|--:|--:|--:|",
        ]
        for contender in dict.fromkeys(result["contender"] for result in of_setting):
            own = [result for result in of_setting if result["contender"] == contender]
            cells = (
                _spread(own, name)
                for name in (
                    "replies_per_second",
                    "cpu_seconds_per_million",
                    "peak_megabytes",
                    "requests",
                )
            )
            lines.append(f"| {contender} | {' | '.join(cells)} |")
    lines += [
        "",
        "Of a pipe, the memory of its programs is added up; of a program that starts others, it is the",
        "largest's.",
        "",
        f"## Killed half way: {losses[0]['replies']:,} replies, then run again to the end",
        "",
        "| contender | lost | doubled | what it knows of the loss |",
        "|---|--:|--:|---|",
    ]
    for loss in losses:
        accounted = loss["accounted"]
        knows = "nothing" if accounted is None else f"its ledger has at most {accounted:,} at risk"
        lines.append(f"| {loss['contender']} | {loss['lost']:,} | {loss['doubled']:,} | {knows} |")
    lines += [
        "",
        "What this connector loses was on its way when the process died.",
        "",
        "## The bars",
        "",
        *_bars(bars),
    ]
    lines += [
        "",
        "Possible is what the libraries alone would reach: `requests` sends the same signed requests, whose",
        "answers are thrown away, and dlt merges the same rows, which were made before.",
    ]
    return lines


def _spread(results: Sequence[Result], name: str) -> str:
    values = [result[name] for result in results]
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def plot(path: Path, results: Sequence[Result]) -> None:
    """Draws replies a second at the ceiling, and CPU without a limit: medians, with their spread."""
    mpl.rcParams["svg.hashsalt"] = "benchmark"  # the same figures give the same file
    settings = list(dict.fromkeys(result["setting"] for result in results))
    panels = [
        (settings[0], "replies_per_second", f"replies a second\n({settings[0]})"),
        (settings[-1], "cpu_seconds_per_million", f"CPU seconds a million replies\n({settings[-1]})"),
    ]
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (setting, name, title) in zip(axes, panels, strict=True):
        for row, contender in enumerate(dict.fromkeys(result["contender"] for result in results)):
            values = [r[name] for r in results if r["contender"] == contender and r["setting"] == setting]
            middle = statistics.median(values)
            spread = [[middle - min(values)], [max(values) - middle]]
            axis.barh(contender, middle, xerr=spread, color="#2a6f97" if row == 0 else "#a9b4bd")
            axis.text(max(values), row, f"  {middle:,.0f}", va="center", fontsize=9)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.savefig(path, metadata={"Date": None})
