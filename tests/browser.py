"""Open rendered pages in headless Chromium and say what is wrong with them, in words."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

from stress import STRESS

NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1400, "height": 900}
ARGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Nothing else has an address. To intercept requests instead would turn the browser's cache off,
    # and each page would load and compile mathematics and plots anew.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# Waits for mathematics and images, then lists what a reader would miss on the page.
_LOOK = r"""async () => {
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  const problems = [];
  for (const image of document.images) {
    image.loading = "eager";
    await image.decode().catch(() => {});
    const name = image.getAttribute("src");
    if (!image.naturalWidth) problems.push(`image missing: ${name}`);
    // Sphinx writes the file's name where a figure has no text of its own.
    const alt = (image.alt || "").trim();
    if (!alt || /\.(svg|png|jpe?g)$/.test(alt)) problems.push(`image without alt text: ${name}`);
  }
  for (const svg of document.querySelectorAll("article svg"))
    if (!svg.closest("mjx-container, [aria-hidden=true], a, button") && !svg.ariaLabel
        && !svg.querySelector("title"))
      problems.push("inline SVG without a label");
  for (const math of document.querySelectorAll("article .math"))
    if (!math.querySelector("mjx-container"))
      problems.push(`mathematics not rendered: ${math.textContent.trim()}`);
  for (const error of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
    problems.push(`mathematics wrong: ${error.textContent}`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); )
    if (!node.parentElement.closest("pre, code, script, style, .math")
        && /\\\(|\\\[|\$\$|\$\\/.test(node.data))
      problems.push(`raw mathematics: ${node.data.trim()}`);
  return problems;
}"""
# Serious and critical findings; what is folded away is unfolded, since a reader may. Contrast takes
# nine tenths of the time, so of texts that are alike in all that it depends on (their colour and
# size, and the ground of everything around them) one is looked at, unless all are asked for.
_AXE = """async all => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  // What is unfolded fades in, and has no contrast until it has.
  for (const fading of document.getAnimations()) fading.effect.updateTiming({duration: 0});
  // The theme lets the keyboard into what scrolls, a moment after the window has changed its width.
  const waiting = () => [...document.querySelectorAll('[tabindex="-1"]')].some(
    each => each.scrollWidth > each.clientWidth);
  for (let turn = 0; turn < 50 && waiting(); turn++)
    await new Promise(done => setTimeout(done, 100));
  const alike = new Map(), grounds = new Map();
  const ground = each => {
    if (!each) return "";
    if (!grounds.has(each)) {
      const is = getComputedStyle(each);
      const own = [is.backgroundColor, is.backgroundImage, is.opacity, is.position, is.filter];
      grounds.set(each, `${own}/${ground(each.parentElement)}`);
    }
    return grounds.get(each);
  };
  const texts = document.evaluate(
    "//body//text()[normalize-space()]/..", document, null, 6, null);
  for (let at = 0; at < texts.snapshotLength; at++) {
    const each = texts.snapshotItem(at), is = getComputedStyle(each);
    const look = [is.color, is.fontSize, is.fontWeight, is.textShadow, is.visibility, is.display];
    const key = `${look}/${ground(each)}`;
    if (each.checkVisibility() && !alike.has(key)) alike.set(key, each);
  }
  const options = {preload: false, resultTypes: ["violations"]};
  const contrast = "color-contrast";
  const found = await axe.run({...options, rules: {[contrast]: {enabled: false}}});
  const read = all ? document : {include: [...alike.values()]};
  const pale = await axe.run(read, {...options, runOnly: [contrast]});
  return [...found.violations, ...pale.violations]
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.impact} ${each.id}, ${each.nodes.length} times, such as `
      + each.nodes[0].html.slice(0, 200));
}"""
# A page that is open hears of another scheme with its next frame.
_SCHEME = """async scheme => {
  const shown = () => document.documentElement.dataset.theme === scheme;
  for (let turn = 0; turn < 50 && !shown(); turn++)
    await new Promise(done => setTimeout(done, 20));
  return shown();
}"""
_WIDTHS = "() => [document.documentElement.scrollWidth, window.innerWidth]"
_LINKS = "() => [...document.querySelectorAll('a[href]')].map(link => link.href)"
_NAMES = "() => [...document.querySelectorAll('[id]')].map(element => element.id)"


def accessibility(page: Any, all_texts: bool = STRESS) -> list[str]:
    """What the accessibility checker axe finds serious or critical on an open page, contrast
    included: of one text of each look, or of all. Its script is injected here and is no part of the
    page."""
    from axe_playwright_python.base import AXE_SCRIPT

    page.evaluate(AXE_SCRIPT)
    return page.evaluate(_AXE, all_texts)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: pytest's output is for failures."""

    def do_GET(self) -> None:
        """Files; and nothing for the icon, which a browser asks for when it sees fit."""
        if self.path == "/favicon.ico":
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        else:
            super().do_GET()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost, on a free port; gives its address."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Reader:
    """One browser window on one served book, in one colour scheme ("light" or "dark")."""

    def __init__(self, browser: Any, address: str, scheme: str = "light") -> None:
        self.address, self.scheme = address, scheme
        self.context = browser.new_context(viewport=WIDE, color_scheme=scheme)
        # A plotting library is a lot to read for a machine that is busy with something else.
        self.context.set_default_navigation_timeout(120_000)
        self.page = self.context.new_page()
        self.page.on("request", self._on_request)
        self.page.on("requestfailed", lambda request: self._note("request failed", request.url))
        self.page.on("response", self._on_response)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._note("page error", error))
        self.problems: list[str] = []

    def look(self, path: str, axe: bool = True) -> list[str]:
        """Open one page, wide and then narrow; gives its problems, none if all is well.

        `axe`: whether the accessibility checker looks too, which takes longer than all else.
        """
        self.problems = []
        self.page.emulate_media(color_scheme=self.scheme)
        self.page.set_viewport_size(WIDE)
        self.page.goto(f"{self.address}/{path}")
        return self._look(self.scheme, axe)

    def look_again(self, scheme: str, axe: bool = True) -> list[str]:
        """The open page in another colour scheme, as when a reader's system turns dark at night."""
        self.problems = []
        self.page.emulate_media(color_scheme=scheme)
        return self._look(scheme, axe)

    def _look(self, scheme: str, axe: bool) -> list[str]:
        self.problems += self.page.evaluate(_LOOK)
        if not self.page.evaluate(_SCHEME, scheme):
            self._note("colour scheme is not", scheme)
        for size in (WIDE, NARROW):
            self.page.set_viewport_size(size)
            needed, available = self.page.evaluate(_WIDTHS)
            if needed > available:
                self._note(f"{needed} px of content on a screen of", f"{available} px")
        # A look takes a second: wide in the light scheme, narrow in the dark one.
        self.page.set_viewport_size(WIDE if scheme == "light" else NARROW)
        if axe:
            self.problems += accessibility(self.page)
        return self.problems

    def links(self) -> list[str]:
        """Every address the open page links to."""
        return self.page.evaluate(_LINKS)

    def names(self) -> set[str]:
        """Every place on the open page that a link can name after ``#``."""
        return set(self.page.evaluate(_NAMES))

    def search(self, word: str) -> list[str]:
        """The pages that the book's search finds for a word."""
        self.problems = []
        self.page.goto(f"{self.address}/search.html?q={word}")
        self.page.wait_for_selector("#search-results ul.search li a", timeout=10_000)
        # Results are listed one by one; how many there are is said after the last.
        self.page.wait_for_function(
            "() => /\\d/.test(document.querySelector('#search-results .search-summary').innerText)"
        )
        found = self.page.locator("#search-results ul.search li a")
        return [found.nth(i).inner_text() for i in range(found.count())]

    def close(self) -> None:
        self.context.close()

    def _inside(self, url: str) -> bool:
        return url.startswith((f"{self.address}/", "data:", "blob:", "about:"))

    def _note(self, what: str, value: object) -> None:
        self.problems.append(f"{what}: {value}")

    def _on_request(self, request: Any) -> None:
        if not self._inside(request.url):
            self._note("outside request", request.url)

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self._note(f"answer {response.status}", response.url)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self._note("console error", message.text)


def broken_links(
    address: str, folder: Path, links: set[str], names: dict[str, set[str]]
) -> list[str]:
    """The links within a book that lead nowhere.

    `links`: whole addresses. `names`: for each page opened, the places on it that can be linked to.
    """
    broken = []
    for link in sorted(links):
        target, place = urldefrag(link)
        if not target.startswith(f"{address}/"):
            continue
        path = unquote(target.removeprefix(f"{address}/").split("?")[0])
        missing_place = place and path in names and unquote(place) not in names[path]
        if not (folder / path).is_file() or missing_place:
            broken.append(link.removeprefix(address))
    return broken
