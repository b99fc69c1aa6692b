"""The pages of the project, whose blocks of code are run."""

import re

from tests.environment import ROOT


def text_of(page: str) -> str:
    """Return a page of the project."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return a page's blocks of code in a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
