"""Keeps the built site whole without a network: the search runs in a page opened from a file, and
a page that would load something from outside is refused.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.utils import get_relative_url

SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme loads so that the search works in a page opened from a file."""
WORKER = "worker.js"
"""Our file that does the same."""
OUTSIDE = r"[\"']?(?:https?:)?//[^\"'\s>]+"
LOADED = re.compile(
    rf"<(?:script|img|iframe|source)\b[^>]*\ssrc={OUTSIDE}"
    rf"|<link\b[^>]*rel=[\"']?stylesheet[^>]*href={OUTSIDE}"
)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Replaces the theme's remote script by ours.

    Args:
      output: the page's HTML.
      page: knows its place in the site.

    Returns:
      HTML that loads nothing from outside.

    Raises:
      PluginError: the page would load something from outside; the message names it.
    """
    return _local(output, page.url)


def on_post_template(output_content: str, template_name: str, **_: Any) -> str:
    """The same for the pages that the theme makes, such as that of a broken link."""
    is_page = template_name.endswith(".html")
    return _local(output_content, template_name) if is_page else output_content


def _local(html: str, place: str) -> str:
    html = html.replace(SHIM, get_relative_url(WORKER, place))
    if outside := LOADED.search(html):
        raise PluginError(
            f"{place} loads something from outside: {outside.group()}; keep the file in docs/"
        )
    return html
