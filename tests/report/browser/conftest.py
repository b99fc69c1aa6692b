"""Requirements: the extra `test-report`, and Chromium (tests/report/install.sh)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.postgres.conftest import postgres, server
from tests.report.browser.chromium import chromium

__all__ = ["postgres", "server"]

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not here: run tests/report/install.sh")
    with chromium() as browser:
        yield browser


class Watched:
    """A page in the browser, and what it did.

    requests: the addresses that it asked for, its own first.
    messages: of its console, such as what its policy forbade, and its errors.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.messages: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("dialog", lambda dialog: self.messages.append(f"dialog: {dialog.message}"))


@pytest.fixture
def shown(browser: Browser, own_folders: Path) -> Iterator[Callable[..., Watched]]:
    """Show a page from its file, as whoever gets it by mail does."""
    contexts = []

    def show(html: str, *, width: int = 1280, **options: Any) -> Watched:
        path = own_folders / "shown.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=False, **options)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(path.as_uri())
        return watched

    yield show
    for context in contexts:
        context.close()
