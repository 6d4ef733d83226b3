"""Look at every page of a running instance as a person would, in headless Chromium.

    apt-get install chromium chromium-driver
    python benchmarks/screenshots.py http://127.0.0.1:5000 --user admin --password … --out shots/

Each page is taken at 1280 and 375 px, light and dark, in English and French. Exits 1 when a page is wider
than its window, answers with an error, or makes the browser complain (a script that the CSP refuses, say).
"""

import argparse
import base64
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

PAGES = (
    "/admin/",
    "/admin/training/anomaly/",
    "/admin/training/anomaly/1/change/",
    "/admin/training/anomaly/1/history/",
    "/admin/training/anomaly/add/",
    "/admin/training/anomaly/export/",
    "/admin/training/fileimport/",
    "/admin/training/fileimport/add/",
    "/admin/training/labelfinding/",
    "/admin/training/trainingsession/",
    "/admin/training/trainingsession/1/change/",
    "/admin/training/trainingsession/train_now/",
    "/admin/training/modelversion/",
    "/admin/training/modelversion/1/change/",
    "/admin/training/modelversion/1/activate/",
    "/admin/training/modelversion/1/keep/",
    "/admin/training/activation/",
    "/admin/training/backup/",
    "/admin/training/backup/1/change/",
    "/admin/training/backup/1/restore/",
    "/admin/training/backup/prune/",
    "/admin/predictions/prediction/",
    "/admin/django_q/schedule/",
    "/admin/django_q/schedule/1/change/",
    "/admin/django_q/schedule/1/freeze/",
    "/admin/django_q/ormq/",
    "/admin/django_q/success/",
    "/admin/django_q/failure/",
    "/admin/auth/user/",
    "/admin/auth/user/1/change/",
    "/admin/auth/group/add/",
    "/admin/authtoken/tokenproxy/",
    "/admin/axes/accessattempt/",
    "/admin/training/webhook/",
    "/admin/training/webhook/add/",
    "/admin/training/mailsubscription/add/",
    "/admin/training/delivery/",
    "/admin/password_change/",
)
WIDTHS, HEIGHT = (1280, 375), 800
THEMES = ("light", "dark")
LANGUAGES = ("en", "fr")
PORT = 9515


class Browser:
    """The little of the WebDriver protocol that is needed here."""

    def __init__(self, base: str) -> None:
        self.base = base
        arguments = ["--headless=new", "--no-sandbox", "--hide-scrollbars"]
        options = {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        opened = self._send("", {"capabilities": {"alwaysMatch": options}}, root=True)
        self.session = opened["sessionId"]

    def _send(self, command: str, data: dict[str, Any], *, root: bool = False) -> Any:
        url = f"http://127.0.0.1:{PORT}/session" + ("" if root else f"/{self.session}{command}")
        value = requests.post(url, json=data, timeout=60).json()["value"]
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(value["message"])
        return value

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self._send("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._send("/execute/sync", {"script": script, "args": list(arguments)})

    def open(self, path: str) -> None:
        self._send("/url", {"url": self.base + path})

    def complaints(self) -> list[str]:
        found = self._send("/se/log", {"type": "browser"})
        return [entry["message"] for entry in found if entry["level"] == "SEVERE"]

    def look(self, *, width: int, theme: str) -> None:
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=HEIGHT,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": theme}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def log_in(self, user: str, password: str) -> None:
        self.open("/admin/login/?next=/admin/")
        self.run(
            "document.querySelector('#id_username').value = arguments[0];"
            "document.querySelector('#id_password').value = arguments[1];"
            "document.querySelector('#login-form').submit();",
            user,
            password,
        )
        self.open("/admin/")
        if self.run("return document.querySelector('#login-form') !== null"):
            sys.exit("The login was refused.")

    def speak(self, language: str) -> None:
        self.open("/admin/")
        self.run("document.querySelector(`.tp-languages [lang=${arguments[0]}]`).click()", language)
        self.open("/admin/")


@contextmanager
def driver() -> Iterator[None]:
    process = subprocess.Popen(["chromedriver", f"--port={PORT}", "--log-level=OFF"])  # noqa: S607 — from the PATH
    try:
        while True:
            try:
                requests.get(f"http://127.0.0.1:{PORT}/status", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def take(browser: Browser, page: str, name: str, out: Path) -> list[str]:
    """One picture; what is wrong with the page."""
    browser.open(page)
    width, window = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    picture = browser.cdp("Page.captureScreenshot", format="png")["data"]
    (out / f"{name}.png").write_bytes(base64.b64decode(picture))
    problems = [f"{name}: {complaint}" for complaint in browser.complaints()]
    if width > window:
        problems.append(f"{name}: {width} px wide in a window of {window} px")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    problems = []
    with driver():
        browser = Browser(options.base)
        browser.log_in(options.user, options.password)
        for language in LANGUAGES:
            browser.look(width=WIDTHS[0], theme=THEMES[0])
            browser.speak(language)
            for width, theme in itertools.product(WIDTHS, THEMES):
                browser.look(width=width, theme=theme)
                for page in PAGES:
                    name = f"{page.strip('/').replace('/', '_')}_{width}_{theme}_{language}"
                    problems += take(browser, page, name, options.out)
        browser.speak("en")
    print("\n".join(problems) or f"{len(list(options.out.glob('*.png')))} pictures, nothing wrong.")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
