"""A picture of the page, for the README.

python -m tests.report.picture [--page FILE] [PICTURE]

Without a page, that of the made-up story of three campaigns.
"""

import argparse
import os
import tempfile
from pathlib import Path

import dlt

from sms_source.report import write_report
from tests.report import data
from tests.report.browser.chromium import chromium
from tests.views.warehouse import Warehouse

WIDTH, HEIGHT = 1280, 1500
"""Pixels: the page's head, and its first two sections or so."""


def make_page(folder: Path) -> Path:
    """The page of the story."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    destination = dlt.destinations.duckdb(str(folder / "sms_replies.duckdb"))
    warehouse = data.fill(Warehouse(destination, folder=folder), data.story())
    write_report(warehouse.pipeline, folder / "replies.html", now=data.NOW)
    return folder / "replies.html"


def main() -> None:
    """Makes the page, if none is given, and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--page", type=Path)
    parser.add_argument("picture", type=Path, nargs="?", default=Path("docs/report.png"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = arguments.page or make_page(Path(folder))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(path.resolve().as_uri())
        page.screenshot(path=arguments.picture)
    print(f"{arguments.picture}: {arguments.picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
