"""The style sheet that pages share: colours in light and dark, cards, tiles, tables, and what changes on a phone."""

from pathlib import Path


def page_style() -> str:
    """Return the text of the style sheet, for a page's `<style>`."""
    return Path(__file__).with_name("page_style.css").read_text(encoding="utf-8")
