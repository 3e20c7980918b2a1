"""A headless Chromium that looks at the Prefect UI and clicks in it, as a person does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--enable-unsafe-swiftshader "  # the graph is drawn with WebGL
    "--disable-background-networking --disable-component-update --window-size=1400,1000"
)


class Browser:
    """One page; everything waits up to half a minute for what it is asked for."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        again = (StaleElementReferenceException, ElementClickInterceptedException)
        self._wait = WebDriverWait(driver, 30, ignored_exceptions=again)  # pages redraw themselves

    def open(self, url: str) -> None:
        self.driver.get(url)

    def click(self, text: str, within: str = "", until: str = "") -> None:
        """Click a button, link, tab or choice by what it says; `within` an element of a role.

        A form that was just opened may not listen yet: click again `until` the page shows that.
        """
        exact = f"normalize-space(.)='{text}'"
        place = f"//*[@role='{within}']" if within else ""
        kinds = "self::a or self::button or @role='tab' or @role='menuitem' or @role='option'"
        path = f"{place}//*[{kinds}][{exact}]"

        def clicked(driver: webdriver.Chrome) -> bool:
            if until and until in driver.find_element(By.TAG_NAME, "body").text:
                return True
            shown = [e for e in driver.find_elements(By.XPATH, path) if e.is_displayed()]
            if shown:
                shown[0].click()
            return bool(shown) and not until

        self._wait.until(clicked, f"nothing to click says {text!r}, or no {until!r}")

    def choose(self, item: str) -> None:
        """Choose an item of the page's own menu, the three dots."""
        path = "//button[@aria-haspopup='menu']"

        def opened(driver: webdriver.Chrome) -> bool:
            if driver.find_elements(By.XPATH, "//*[@role='menu']"):
                return True
            dots = [e for e in driver.find_elements(By.XPATH, path) if e.is_displayed()]
            if dots:
                dots[-1].click()
            return False

        self._wait.until(opened, "no menu opens")
        self.click(item, within="menu")

    def fill(self, says: str, value: str) -> None:
        """Write a value into the field of a form that a description says this of."""
        path = f"//*[contains(text(), '{says}')]/following::input[1]"
        field = self._wait.until(lambda driver: driver.find_element(By.XPATH, path))
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(value)
        self._wait.until(lambda _: field.get_attribute("value") == value)

    def shows(self, *texts: str) -> str:
        """Wait until the page shows all of these; returns its text."""

        def text(driver: webdriver.Chrome) -> str | None:
            shown: str = driver.find_element(By.TAG_NAME, "body").text
            return shown if all(wanted in shown for wanted in texts) else None

        try:
            return str(self._wait.until(text))
        except TimeoutException:
            shown = self.driver.find_element(By.TAG_NAME, "body").text
            raise AssertionError(f"the page does not show {texts}, but:\n{shown}") from None

    def colours(self, selector: str) -> set[tuple[int, ...]]:
        """The colours in the picture of the first such element; a blank canvas has one."""

        def drawn(driver: webdriver.Chrome) -> bytes | None:
            """An image that is not decoded yet is 0 pixels wide."""
            element = driver.find_element(By.CSS_SELECTOR, selector)
            return element.screenshot_as_png if element.rect["width"] else None

        shot = self._wait.until(drawn, f"no {selector} is drawn")
        picture = Image.open(BytesIO(shot)).convert("RGB")
        counted = picture.getcolors(picture.width * picture.height) or []
        return {colour for count, colour in counted if count > 200}  # type: ignore[misc]

    def picture(self, path: Path) -> None:
        """Save what the window shows."""
        self.driver.save_screenshot(str(path))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    assert CHROMIUM and DRIVER
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in _FLAGS.split():
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
