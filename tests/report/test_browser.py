"""The page in a browser: at the width of a desk, of a phone, in the dark and on paper."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr
from fairrecon_jax.physics import describe

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")).absolute()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
LEVELS = describe("xray_low_dose", (1e5, 1e4, 3e3), 1e4)
MOST_PAGES = 12
MOST_BYTES = 4_000_000
OVERFLOWING = """() => [...document.querySelectorAll("main *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .filter(e => !e.closest(".scroll") && !e.closest("thead"))
  .map(e => e.tagName + "." + e.className)"""


EMPTY = """() => [...document.querySelectorAll(".fold td")]
  .filter(e => !e.textContent && e.getBoundingClientRect().height)
  .map(e => e.dataset.label)"""


def predictions(patients: int = 700) -> dict[str, Any]:
    """Three findings, three levels, two methods, harm to women in one of them."""
    rng = np.random.default_rng(0)
    sex, age = rng.choice(["Female", "Male"], patients), rng.choice(["<60", "60+"], patients)
    rows = []
    for level in (1e5, 1e4, 3e3):
        for method in ("unet", "pix2pix"):
            frame = pd.DataFrame({"sex": sex, "age": age, "patient": np.arange(patients)})
            for k, finding in enumerate(("effusion", "edema", "a < b & c")):
                draws = np.random.default_rng(k)
                y = draws.random(patients) < 0.3
                before = 1.6 * y + draws.normal(0, 0.8, patients)
                harm = 0.9 * (y & (sex == "Female")) * (k == 0)
                frame[f"{finding}__label"] = y.astype(float)
                frame[f"{finding}__original"] = 1 / (1 + np.exp(-before))
                after = before - harm + draws.normal(0, 0.3 + 300 / level, patients)
                frame[f"{finding}__reconstructed"] = 1 / (1 + np.exp(-after))
            rows.append(frame.assign(level=level, reconstructor=method))
    return {"table": pd.concat(rows, ignore_index=True), "groups": ["sex", "age"]}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    given = predictions()
    table = given["table"].assign(example_id=lambda t: t["patient"].astype(str), split="test")
    table = table.rename(columns={"patient": "patient_id"}).assign(
        mitigation="none", seed=0, cohort="c"
    )
    options = fr.AssessOptions(permutations=199, null_draws=20, threshold_redraws=0)
    audit = fr.assess(table, groups=given["groups"], degradation=LEVELS, options=options)
    return audit.report(tmp_path_factory.mktemp("browser"), pdf=False, dpi=100)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def told() -> list[str]:
    """What the browser had to say."""
    return []


def opened(browser: Any, page: Path, told: list[str], width: int = 1280, **more: Any) -> Any:
    # the policy of the page forbids scripts from elsewhere, axe's too
    context = browser.new_context(
        viewport={"width": width, "height": 900}, bypass_csp=bool(more.pop("axe", False)), **more
    )
    tab = context.new_page()
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("request", lambda request: told.append(request.url) if asks(request.url) else None)
    tab.goto(page.as_uri())
    tab.wait_for_selector(".chart svg")
    return tab


def asks(url: str) -> bool:
    """Whether a request leaves the page."""
    return not url.startswith(("data:", "file:"))


def test_a_page_is_small_enough_for_mail(page):
    assert page.stat().st_size < MOST_BYTES


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_nothing_overflows_and_nothing_is_said_or_asked_for(browser, page, told, width, scheme):
    tab = opened(browser, page, told, width, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(OVERFLOWING) == []
    assert told == []


def test_the_words_of_a_figure_can_be_read_on_a_phone(browser, page, told):
    tab = opened(browser, page, told, 390)
    for picture in tab.locator("main .picture img").all():
        # drawn at 8 points or more on 832 pixels
        assert picture.evaluate("e => e.getBoundingClientRect().width") > 680
    # what no row has takes no room in its card
    assert tab.evaluate(EMPTY) == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_axe_finds_no_violation(browser, page, told, width, scheme):
    if not AXE.is_file():
        pytest.skip(f"axe-core is not at {AXE}: npm install axe-core")
    tab = opened(browser, page, told, width, color_scheme=scheme, axe=True)
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = tab.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []


def test_the_report_is_read_to_its_end_on_paper(browser, page, told):
    tab = opened(browser, page, told)
    printed = tab.pdf(prefer_css_page_size=True, tagged=True)
    assert 2 <= printed.count(b"/Type /Page\n") <= MOST_PAGES
    assert b"/StructTreeRoot" in printed


def test_a_choice_is_drawn_and_said(browser, page, told):
    tab = opened(browser, page, told)
    # it opens with the clearest harm
    assert tab.input_value("select[name=finding]") == "effusion"
    assert "Harmed: Female" in tab.inner_text("#said")
    tab.select_option("select[name=finding]", "a < b & c")
    tab.select_option("select[name=attribute]", "age")
    tab.wait_for_timeout(300)
    words = tab.inner_text("#said")
    assert "Female" not in words
    assert tab.locator(".chart svg").count() >= 4
    assert told == []


def test_the_counts_of_flipped_decisions_add_up(browser, page, told):
    tab = opened(browser, page, told)
    rows = tab.locator("#flips tbody tr").all()
    assert len(rows) == 4
    for row in rows:
        cells = [cell.inner_text().replace(",", "") for cell in row.locator("td").all()][1:]
        assert all(c == "withheld" for c in cells) or sum(map(int, cells)) > 50


def test_tables_are_sorted_and_filtered(browser, page, told):
    tab = opened(browser, page, told)
    table = tab.locator("#verdicts table")
    rows = table.locator("tbody tr:visible")
    every = rows.count()
    tab.locator("#verdicts form select").first.select_option("edema")
    assert 0 < rows.count() < every
    assert f"of {every} rows" in tab.locator("#verdicts output").inner_text()
    tab.locator("#verdicts form select").first.select_option("")
    head = table.locator("th", has_text="detectable")
    head.locator("button").click()
    values = [float(row.locator("td").last.inner_text()) for row in rows.all()]
    assert values == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"
