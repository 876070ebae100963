"""The page in a browser: pointer and keyboard, both languages, light and dark, wide and narrow, hostile titles."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from web.browser import CHROMIUM, CONTRAST, serving
from web.fake import HOSTILE

if find_spec("playwright") is None:
    pytest.skip("playwright is not installed", allow_module_level=True)
if not CHROMIUM.is_file():
    pytest.skip(f"there is no {CHROMIUM}", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect, sync_playwright

PAGE = Path(__file__).parents[2] / "src/recdistill/web/page"
KEY = "a-long-enough-key"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that may neither complain nor ask another server."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900}, base_url=address)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
    yield page
    context.close()
    assert not wrong


def open_at(page: Page, fragment: str = "") -> None:
    page.goto(f"/#{fragment}")
    page.reload()
    expect(page.locator("#columns article")).to_have_count(4 if "x=0" in fragment else 3)


def history(page: Page) -> list[str]:
    return [str(row.get_attribute("data-id")) for row in page.locator("#history li").all()]


def listed(page: Page, model: str) -> list[str]:
    return [str(row.get_attribute("data-id")) for row in page.locator(f"[data-model={model}] li").all()]


def test_a_history_is_built_by_keyboard_alone(page: Page) -> None:
    open_at(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#search").focus()
    page.keyboard.type("alie")
    expect(page.locator("#found li")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator("#search").get_attribute("aria-activedescendant") == "found-1"
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(1)
    assert history(page) == ["7"]
    page.keyboard.type("toy")
    expect(page.locator("#found li")).to_have_text(["Toy Story"])
    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_be_hidden()
    page.locator("[data-model=distilled] li button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(2)
    assert history(page) == ["7", "8"]
    page.get_by_role("button", name="Move Fargo up").press("Enter")
    expect(page.locator("#history li").first).to_have_attribute("data-id", "8")
    page.get_by_role("button", name="Remove Aliens").press("Enter")
    expect(page.locator("#history li")).to_have_count(1)
    assert "h=8&" in page.url
    assert page.locator(":focus").count() == 1


def test_a_history_is_built_by_dragging(page: Page) -> None:
    open_at(page, "h=1,2")
    page.drag_and_drop("[data-model=popularity] li[data-id='7']", "#history li[data-id='1']")
    expect(page.locator("#history li")).to_have_count(3)
    assert history(page) == ["7", "1", "2"]
    page.drag_and_drop("#history li[data-id='7'] .title", "#history li[data-id='2'] .title")
    expect(page.locator("#history li").last).to_have_attribute("data-id", "7")
    assert history(page) == ["1", "2", "7"]


def test_models_stand_side_by_side_with_what_changed_and_how_long_it_took(page: Page) -> None:
    open_at(page, "h=1,2&k=5")
    expect(page.locator("#columns h3")).to_have_text(["Distilled student", "Plain student", "Popularity"])
    assert listed(page, "distilled") == ["3", "4", "5", "6", "7"]
    assert listed(page, "student") == ["5", "6", "7", "8", "9"]
    assert listed(page, "popularity") == ["3", "4", "5", "6", "7"]
    marks = page.locator("[data-model=distilled] .mark")
    expect(marks).to_have_text(["new", "new", "▼ 2", "▼ 2", "▼ 2"])
    assert marks.nth(2).get_attribute("aria-label") == "2 places lower than in the plain student's list"
    expect(page.locator("[data-model=student] .mark")).to_have_text(["dropped", "dropped"])
    for line in page.locator(".latency").all_inner_texts():
        assert re.fullmatch(r"model \d+\.\d\d ms, in all \d+\.\d ms", line)


def test_reasons_are_shown_on_hover_and_on_focus(page: Page) -> None:
    open_at(page, "h=1,2")
    column = page.locator("[data-model=distilled]")
    expect(column.locator(".why")).to_have_text("Point at an item to see which of the history it follows from.")
    page.wait_for_load_state("networkidle")
    column.locator("li").nth(1).hover()
    expect(column.locator(".why")).to_have_text("Because of Heat (+0.50), Toy Story (−0.50)")
    expect(page.locator("#history li[data-id='2']")).to_have_class("reason")
    expect(page.locator("#history li[data-id='1']")).to_have_class("against")
    page.mouse.move(0, 0)
    expect(page.locator("#history li.reason")).to_have_count(0)
    column.locator("li button").first.focus()
    expect(page.locator("#history li.reason")).to_have_count(1)


def test_the_address_holds_the_state(page: Page) -> None:
    open_at(page, "h=5,2&k=5&lang=ja")
    expect(page.locator("#columns h3")).to_have_text(["蒸留モデル", "蒸留なしの生徒モデル", "人気順"])
    expect(page.locator("#history .title")).to_have_text(["七人の侍", "Heat"])
    assert page.evaluate("document.documentElement.lang") == "ja"
    page.locator("#language").click()
    expect(page.locator("#history-title")).to_have_text("History, oldest first")
    page.locator("#top-k").select_option("20")
    expect(page.locator("[data-model=distilled] li")).to_have_count(8)
    assert page.url.endswith("#h=5,2&k=20&lang=en")
    before = page.url
    page.reload()
    expect(page.locator("[data-model=distilled] li")).to_have_count(8)
    assert (page.url, history(page)) == (before, ["5", "2"])
    open_at(page, "h=1,nothing,%252C&k=7&lang=xx&x=99")
    expect(page.locator("#alert")).to_have_text("Not in this catalog and left out: nothing, ,")
    page.locator("#clear").click()
    expect(page.locator("#history li")).to_have_count(0)
    expect(page.locator("#alert")).to_be_hidden()


def test_a_training_user_is_shown_with_the_teachers_list(page: Page) -> None:
    open_at(page)
    page.get_by_label("A training user").select_option("0")
    expect(page.locator("[data-model=teacher] li")).to_have_count(3)
    assert (history(page), listed(page, "teacher")) == (["1", "2"], ["8", "5", "4"])
    expect(page.locator("[data-model=teacher] .mark")).to_have_text(["chosen next"])
    assert page.url.endswith("&x=0")
    page.locator("[data-model=teacher] li button").first.click()
    expect(page.locator("[data-model=teacher]")).to_have_count(0)
    assert history(page) == ["1", "2", "8"]


def test_a_hostile_title_is_text_everywhere(page: Page) -> None:
    open_at(page, "h=4,2")
    page.locator("#search").fill("<img")
    expect(page.locator("#found li")).to_have_text([HOSTILE])
    page.locator("#found li").click()
    page.wait_for_load_state("networkidle")
    expect(page.locator("#history .title").first).to_have_text(HOSTILE)
    assert page.title() == "recdistill"
    assert page.locator("main img, main script").count() == 0


def test_scripts_never_write_markup() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir())
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "style="):
        assert word not in text
    assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in text


def test_both_languages_say_the_same_things() -> None:
    english, japanese = (PAGE / "words.js").read_text(encoding="utf-8").split("  ja: {")
    names = [re.findall(r"^    (\w+): \"", text, flags=re.MULTILINE) for text in (english, japanese)]
    assert names[0] == names[1]
    places = [re.findall(r"^    (\w+): .*", text, flags=re.MULTILINE) for text in (english, japanese)]
    assert places[0] == places[1]
    for one, other in zip(*(re.findall(r": \"(.*)\",", text) for text in (english, japanese)), strict=True):
        assert set(re.findall(r"\{\d\}", one)) == set(re.findall(r"\{\d\}", other))


def test_a_key_is_asked_for_and_kept_for_the_tab(page: Page, browser: Browser) -> None:
    with serving(api_key=KEY) as address:
        own = browser.new_context(locale="en-GB").new_page()
        own.goto(address)
        expect(own.locator("#alert")).to_have_text("This server asks for an API key.")
        own.get_by_label("API key").fill(KEY)
        own.get_by_role("button", name="Use it").click()
        expect(own.locator("#columns article")).to_have_count(3)
        assert KEY not in own.url
        own.reload()
        expect(own.locator("#columns article")).to_have_count(3)
        own.context.close()


def test_a_server_that_cannot_be_reached_is_told(browser: Browser, address: str) -> None:
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(address)
    expect(page.locator("#columns article")).to_have_count(3)
    page.context.set_offline(True)
    page.locator("[data-model=popularity] li button").first.click()
    expect(page.locator("#alert")).to_have_text("The server cannot be reached.")
    page.context.set_offline(False)
    page.locator("[data-model=popularity] li button").first.click()
    expect(page.locator("#alert")).to_be_hidden()
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_all_text_has_contrast_and_fits(page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    for language in ("en", "ja"):
        open_at(page, f"x=0&lang={language}")
        page.wait_for_load_state("networkidle")
        page.locator("[data-model=distilled] li").first.hover()
        expect(page.locator("#history li.reason")).to_have_count(1)
        page.locator("#search").fill("alie")
        expect(page.locator("#found li")).to_have_count(2)
        page.locator("#found li").first.hover()
        page.evaluate("document.getElementById('alert').hidden = document.getElementById('key').hidden = false")
        page.wait_for_timeout(200)  # until the colours have changed
        assert page.evaluate(CONTRAST.read_text(encoding="utf-8")) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_schemas_page_has_contrast_and_fits(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto("/docs")
        assert page.evaluate(CONTRAST.read_text(encoding="utf-8")) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_control_has_a_name(page: Page) -> None:
    open_at(page, "h=1,2")
    for control in page.locator("button, input, select").all():
        if control.is_visible():
            name = control.evaluate(
                "e => e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim() || ''"
            )
            assert name, control.evaluate("e => e.outerHTML")
