"""The pages of the app, by their names in addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsearch.app.pages.background import background_page
from simsearch.app.pages.channels import channels_page
from simsearch.app.pages.confidence import confidence_page
from simsearch.app.pages.images import images_page
from simsearch.app.pages.regions import regions_page
from simsearch.app.pages.results import results_page
from simsearch.app.pages.train import train_page
from simsearch.app.server.application import Site
from simsearch.app.shell import mount_page
from simsearch.app.steps import next_step

if TYPE_CHECKING:
    from simsearch.app.context import PageFunction

PAGES: dict[str, PageFunction] = {
    "images": images_page,
    "channels": channels_page,
    "regions": regions_page,
    "background": background_page,
    "train": train_page,
    "confidence": confidence_page,
    "results": results_page,
}

SITE = Site(pages=PAGES, mount=mount_page, home=next_step)
