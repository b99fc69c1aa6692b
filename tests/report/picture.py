"""A picture of the page, for the README.

python -m tests.report.picture [--page FILE] [PICTURE]

Without a page, that of the demo, which is run for it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sms_source.cli.demo_command import PAGE
from tests.environment import ROOT
from tests.report.browser.chromium import chromium

WIDTH, HEIGHT = 1280, 1560
"""Pixels: the page's head, and its first two sections or so."""


def make_page(folder: Path) -> Path:
    """Return the page that the demo makes in a folder."""
    environment = {
        **os.environ,
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DLT_DATA_DIR": str(folder / "dlt"),
    }
    job = [sys.executable, str(ROOT / "pipelines" / "load_replies.py"), "--demo"]
    subprocess.run(job, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    return folder / PAGE


def main() -> None:
    """Make the page, if none is given, and its picture."""
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
