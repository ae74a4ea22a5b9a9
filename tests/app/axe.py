"""What axe-core, Deque's rules of accessibility, finds on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

_GRAVE = ("serious", "critical")
_COLORS = ("color-contrast", "link-in-text-block")


def grave_findings(tab: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """List the serious and critical rules that a page breaks as it stands, each with an element that breaks it."""
    options: dict[str, Any] = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['target'][0]}: {node['failureSummary']}"
        for rule in Axe().run(tab, options=options).response["violations"]
        if rule["impact"] in _GRAVE
        for node in rule["nodes"]
    ]


def check_light_and_dark(tab: Page, name: str) -> None:
    """Assert that a page has no grave finding; in the dark, colours are all that is another."""
    for scheme, rules in (("light", ()), ("dark", _COLORS)):
        tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours do not fade in
        found = grave_findings(tab, rules)
        assert not found, f"{name}, {scheme}:\n" + "\n".join(found)
    tab.emulate_media(color_scheme="light", reduced_motion="null")
