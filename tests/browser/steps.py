"""Short words for what people do."""

from playwright.sync_api import Page


def sign_in(page: Page, name: str, password: str) -> None:
    """Through the form of the page."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
