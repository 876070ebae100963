"""Pictures of the page in docs/images, of any run or bundle: python docs/take_pictures.py RUN_OR_BUNDLE [ID…].

The ids are the history that is shown. It needs playwright and Debian's chromium.
"""

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
PICTURES = {
    "page-en.png": (1280, 860, "light", "en", ""),
    "page-ja-dark.png": (1280, 860, "dark", "ja", ""),
    "page-phone-en-dark.png": (390, 1400, "dark", "en", ""),
    "page-phone-ja.png": (390, 1400, "light", "ja", ""),
    "page-example-en.png": (1280, 860, "dark", "en", "&x=3"),
}
"""Name → width, height, colours, language, more of the address."""


def main(source: str, ids: list[str]) -> None:
    """Serve, and photograph."""
    command = [sys.executable, "-m", "recdistill", "serve", source, "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, (width, height, scheme, language, more) in PICTURES.items():
            viewport = {"width": width, "height": height}
            context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            history = "" if more else f"h={','.join(map(quote, ids))}"
            page.goto(f"{address}#{history}&lang={language}{more}")
            page.wait_for_load_state("networkidle")
            page.locator("[data-model=distilled] li").nth(1).hover()
            page.wait_for_timeout(400)
            page.screenshot(path=IMAGES / name)
            context.close()
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or ["1", "273", "12"])
