"""Look at the built pages in headless Chromium: ``python doc/check_layout.py doc/_build/html``.

Every page is opened in a wide window, which is then made narrow, and these are counted:

- at 1280 px, tables and formulas that are wider than their column;
- at 400 px, formulas that are cut off, and pages that scroll sideways;
- formulas that are not drawn, requests that leave the folder of pages, and errors in
  the console;

and parameters for which a search does not name the estimators that have them.

Exits with 1 if there is any. Without a Chromium or Chrome on the PATH it says "skipped" and
exits with 0. ``--pictures FOLDER`` keeps what a window shows of the pages that are named::

    python doc/check_layout.py --pictures shown doc/_build/html index.html api.html

Needs the standard library alone: the browser is spoken to in its DevTools protocol, through a
pair of pipes.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE, NARROW = 1280, 400
HEIGHT = 900
# Tabs side by side: a page waits for its timers most of the time.
N_TABS = 4
# Of one page, in seconds.
PATIENCE = 120.0

# Formulas are broken into lines for the width that they are drawn at: MathJax starts again where it
# measures (its state 110).
REDRAW = """(async () => {
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  await window.MathJax?.startup?.document?.rerenderPromise?.(110);
})()"""

# Resolves once formulas are drawn. Outside of its column is what is beyond a box that holds it; cut
# what is beyond an edge that clips or scrolls, or the window's.
MEASURE = """(async () => {
  await document.fonts.ready;
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  const article = document.querySelector('article') ?? document.body;
  const name = (el) => (el.getAttribute('aria-label') ?? el.textContent)
      .trim().replace(/\\s+/g, ' ').slice(0, 60);
  const beyond = (el, counts) => {
    const box = el.getBoundingClientRect();
    const right = box.left + Math.max(box.width, el.scrollWidth);
    for (let up = el.parentElement; up; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (style.display === 'inline' || style.display === 'contents') continue;
      const edge = up.getBoundingClientRect();
      if (counts(style) && (right > edge.right + 1 || box.left < edge.left - 1)) return true;
      if (up === article) break;
    }
    return false;
  };
  const outside = (el) => beyond(el, () => true);
  const cut = (el) => beyond(el, (style) => style.overflowX !== 'visible')
      || el.getBoundingClientRect().right > window.innerWidth;
  const pieces = (el) => [el, ...el.querySelectorAll('svg, mjx-math')];
  // Hidden in what the reader has not opened.
  const seen = (selector) => [...article.querySelectorAll(selector)].filter(
      (el) => el.getClientRects().length);
  const drawn = (el) => el.querySelector('mjx-container, math, .katex, img');
  const page = document.documentElement;
  return {
    tables: seen('table').filter(outside).map(name),
    formulas: seen('.math').filter((el) => pieces(el).some(outside)).map(name),
    cut: seen('.math').filter((el) => pieces(el).some(cut)).map(name),
    'raw formulas': seen('.math').filter((el) => !drawn(el)).map(name),
    'scrolls sideways': page.scrollWidth > page.clientWidth + 1
        ? [`${page.scrollWidth} px`] : [],
  };
})()"""

# What counts at which width: the key of a measurement, and how it is called.
COUNTED = {
    WIDE: {
        "tables": f"tables wider than their column at {WIDE} px",
        "formulas": f"formulas wider than their column at {WIDE} px",
    },
    NARROW: {
        "cut": f"formulas cut at {NARROW} px",
        "raw formulas": "formulas not drawn",
        "scrolls sideways": f"pages that scroll sideways at {NARROW} px",
    },
}


# Some parameters, and pages that a search for them should name.
SEARCHED = {
    "epsilon": ("skotae.SinkhornAE", "skotae.SinkhornEncoder", "skotae.CoupledVAE"),
    "lam": ("skotae.WAEEstimator", "skotae.GMWAE"),
    "n_mixtures": ("skotae.GMWAE", "skotae.GMVAE"),
    "batch_size": ("skotae.VAE", "skotae.WGAN"),
}


def not_found(root: Path) -> list[str]:
    """Of `SEARCHED`, what the entries of the search index lack."""
    text = (root / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    lacking = []
    for word, pages in SEARCHED.items():
        found = {index["docnames"][entry[0]] for entry in index["indexentries"].get(word, ())}
        lacking += [f"{word}: {page}" for page in pages if f"generated/{page}" not in found]
    return lacking


class Browser:
    """A headless Chromium, spoken to in messages that end in a zero byte."""

    def __init__(self, program: str, profile: str):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        flags = [
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",  # in a container, as root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            # Tabs behind the first are no less awake.
            "--disable-background-timer-throttling",
            "--disable-backgrounding-occluded-windows",
            "--disable-renderer-backgrounding",
            # What leaves the folder fails at once, with a network or without.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--allow-file-access-from-files",
            f"--user-data-dir={profile}",
        ]
        # The browser reads from descriptor 3 and writes to 4.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *flags, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0

    def send(self, method: str, session: str | None = None, **params: Any) -> int:
        """Ask for something; returns the number of its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        return self._number

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message, or None if there is none for so long."""
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("The browser has ended.")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask, and wait for the answer; what happens meanwhile is not looked at."""
        number = self.send(method, session, **params)
        while (message := self.receive(PATIENCE)) is not None:
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
        raise RuntimeError(f"{method}: no answer for {PATIENCE:g} seconds.")

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Tab:
    """One page after the other: opens it, waits for it, measures it at both widths."""

    def __init__(self, browser: Browser, root: Path, pictures: Path | None):
        self.browser, self.root, self.pictures = browser, root, pictures
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            browser.ask(f"{domain}.enable", self.session)
        browser.ask("Emulation.setFocusEmulationEnabled", self.session, enabled=True)
        self.page = ""
        self.width = WIDE
        self.awaited = -1
        self.found: dict[str, list[str]] = {}
        self.until = 0.0

    def open(self, page: str) -> None:
        self.page, self.until = page, time.monotonic() + PATIENCE
        self.found = {"requests off-site": [], "console errors": []}
        self.awaited = -1
        self._resize(WIDE)
        self.browser.send("Page.navigate", self.session, url=(self.root / page).as_uri())

    def _resize(self, width: int) -> None:
        self.width = width
        self.browser.send(
            "Emulation.setDeviceMetricsOverride",
            self.session,
            width=width,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=False,
        )

    def _evaluate(self, expression: str) -> int:
        return self.browser.send(
            "Runtime.evaluate",
            self.session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )

    def take(self, message: dict[str, Any]) -> bool:
        """Whether the page is done with this message."""
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith((self.root.as_uri(), "data:", "blob:")):
                    self.found["requests off-site"].append(url)
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                text = details.get("exception", {}).get("description", details["text"])
                self.found["console errors"].append(text.splitlines()[0])
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                words = [str(each.get("value", "")) for each in params["args"]]
                self.found["console errors"].append(" ".join(words))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.found["console errors"].append(params["entry"]["text"])
            case "Page.loadEventFired":
                self.awaited = self._evaluate(MEASURE)
        if message.get("id") != self.awaited:
            return False
        measured = message.get("result", {}).get("result", {}).get("value")
        if measured is None:
            raise RuntimeError(f"{self.page} could not be measured: {message}")
        for key, title in COUNTED[self.width].items():
            self.found[title] = measured[key]
        self._keep_picture()
        if self.width == NARROW:
            return True
        self._resize(NARROW)
        self._evaluate(REDRAW)
        self.awaited = self._evaluate(MEASURE)
        return False

    def _keep_picture(self) -> None:
        if self.pictures is None:
            return
        shot = self.browser.ask("Page.captureScreenshot", self.session, format="png")
        stem = self.page.removesuffix(".html").replace("/", "-")
        path = self.pictures / f"{stem}-{self.width}.png"
        path.write_bytes(base64.b64decode(shot["data"]))


def looked_at(
    browser: Browser, root: Path, pages: list[str], pictures: Path | None
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Each page with what was found on it."""
    waiting = pages[::-1]
    tabs = [Tab(browser, root, pictures) for _ in range(1 if pictures else N_TABS)]
    by_session = {tab.session: tab for tab in tabs if waiting}
    for tab in tabs:
        if waiting:
            tab.open(waiting.pop())
        else:
            by_session.pop(tab.session, None)
    while by_session:
        message = browser.receive(1.0)
        late = [tab.page for tab in by_session.values() if time.monotonic() > tab.until]
        if late:
            raise RuntimeError(f"Not loaded within {PATIENCE:g} seconds: {', '.join(late)}")
        tab = by_session.get((message or {}).get("sessionId", ""))
        if message is None or tab is None or not tab.take(message):
            continue
        yield tab.page, tab.found
        if waiting:
            tab.open(waiting.pop())
        else:
            del by_session[tab.session]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with the built pages")
    parser.add_argument("pages", nargs="*", help="paths in it; all pages by default")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="keep pictures there")
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"layout: skipped, as none of {', '.join(BROWSERS)} is on the PATH")
        return 0
    root = options.folder.resolve()
    pages = options.pages or sorted(str(path.relative_to(root)) for path in root.rglob("*.html"))
    # Sphinx's own, of pieces for scripts.
    pages = [page for page in pages if not page.startswith("_static/")]
    if not pages:
        raise SystemExit(f"{root} has no pages.")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    lacking = not_found(root)
    for text in lacking:
        print(f"searchindex.js lacks {text}")
    counts = {"parameters not found by a search": len(lacking)}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            for page, found in looked_at(browser, root, pages, options.pictures):
                for title, instances in found.items():
                    counts[title] = counts.get(title, 0) + len(instances)
                    for text in instances:
                        print(f"{page}, {title}: {text}")
        finally:
            browser.close()
    print(f"layout: {len(pages)} pages at {WIDE} and {NARROW} px, {time.monotonic() - start:.0f} s")
    for key, count in counts.items():
        print(f"  {key}: {count}")
    return int(any(counts.values()))


if __name__ == "__main__":
    sys.exit(main())
