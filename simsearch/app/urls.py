"""Addresses within the app: what pages link to, and what the server understands."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from simsearch.errors import ConfigError
from simsearch.io.pictures.render import LEAST_GAMMA, MOST_GAMMA, ShownChannel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simsearch.curation.state import Patch

ASSETS = Path(__file__).parent / "static"
"""CSS and JS of the app."""

_CHANNEL = re.compile(r"([0-9]{1,9}),([0-9A-Fa-f]{6}),([^,]{1,32}),([^,]{1,32})(?:,([^,]{1,32}))?")

FULL_ZOOM = 20
"""Zoom of tiles whose pixels are those of level 0, in all images: a viewer changes images, and no zoom changes."""

CROP_PX = 192
"""The longer side of a crop is at most this, unless asked otherwise."""


def scripts_version() -> str:
    """Name the scripts and styles as they lie on the disk now."""
    found = hashlib.sha256()
    for path in sorted(ASSETS.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Urls:
    """Makes addresses. Images are named by their place in the study, never by a path."""

    prefix: str
    """Empty, or begins with a slash and ends without."""
    indices: Mapping[str, int]
    """Place in the study of each image, by its name."""
    shown: tuple[ShownChannel, ...]
    """How each channel of the images is shown unless asked otherwise."""
    version: str
    """Changes when what is behind the addresses may have changed: browsers keep what they have got."""
    scripts: str = field(default_factory=scripts_version)
    """Version of the scripts that the server was started with."""

    def page(self, name: str) -> str:
        """Address of a page."""
        return f"{self.prefix}/{name}"

    def asset(self, name: str) -> str:
        """Address of a CSS or JS file of the app."""
        return f"{self.prefix}/assets/{name}?v={self.version}"

    def channels(self, indices: Sequence[int]) -> tuple[ShownChannel, ...]:
        """Tell how some of the channels are shown."""
        return tuple(self.shown[index] for index in indices)

    def tile_template(self, image: str, shown: Sequence[ShownChannel] | None = None) -> str:
        """Address of the tiles of an image, with ``{Z}``, ``{X}`` and ``{Y}``."""
        return f"{self.prefix}/tiles/{self.indices[image]}/{{Z}}/{{X}}/{{Y}}?{self._query(shown)}"

    def crop(
        self,
        patch: Patch,
        shape: tuple[float, float],
        shown: Sequence[ShownChannel] | None = None,
        side_px: int = CROP_PX,
    ) -> str:
        """Address of the picture of a patch of the given height and width in level-0 pixels."""
        return self.crop_at(patch.image, (patch.y, patch.x), shape, shown, side_px)

    def crop_at(
        self,
        image: str,
        centre: tuple[float, float],
        shape: tuple[float, float],
        shown: Sequence[ShownChannel] | None = None,
        side_px: int = CROP_PX,
    ) -> str:
        """Address of the picture of a place (y, x) in an image."""
        place = "/".join(f"{value:.10g}" for value in (*centre, *shape))
        return f"{self.prefix}/crops/{self.indices[image]}/{place}?{self._query(shown)}&side={side_px}"

    def thumbnail(self, image: str, shown: Sequence[ShownChannel] | None = None) -> str:
        """Address of the picture of a whole image."""
        return f"{self.prefix}/thumbnails/{self.indices[image]}?{self._query(shown)}"

    def thumbnail_template(self, shown: Sequence[ShownChannel] | None = None) -> str:
        """Address of the picture of any image, with ``{I}`` for its place in the study."""
        return f"{self.prefix}/thumbnails/{{I}}?{self._query(shown)}"

    def crop_template(
        self, shape: tuple[float, float] | None, shown: Sequence[ShownChannel] | None = None, side_px: int = CROP_PX
    ) -> str:
        """Address of the picture of any place, with ``{I}``, ``{Y}`` and ``{X}``; without a shape any, ``{H}/{W}``."""
        sides = "/".join(f"{side:.10g}" for side in shape) if shape else "{H}/{W}"
        return f"{self.prefix}/crops/{{I}}/{{Y}}/{{X}}/{sides}?{self._query(shown)}&side={side_px}"

    def download(self, key: str) -> str:
        """Address of a file to download."""
        return f"{self.prefix}/downloads/{key}"

    def _query(self, shown: Sequence[ShownChannel] | None) -> str:
        wanted = self.shown if shown is None else shown
        parts = [("c", _channel(each)) for each in wanted]
        return urlencode([*parts, ("v", self.version)], safe=",")


def _channel(shown: ShownChannel) -> str:
    bent = "" if shown.gamma == 1 else f",{shown.gamma:.9g}"
    return f"{shown.index},{shown.color},{shown.low:.9g},{shown.high:.9g}{bent}"


def parse_shown(values: Sequence[str], n_channels: int) -> tuple[ShownChannel, ...]:
    """Understand what `Urls` wrote about channels.

    Raises
    ------
    ConfigError
        If it is something else, or there is no such channel.

    Examples
    --------
    >>> parse_shown(["1,00FF00,120,4000"], 2)
    (ShownChannel(index=1, color='00FF00', low=120.0, high=4000.0, gamma=1.0),)
    >>> parse_shown(["1,00FF00,120,4000,0.5"], 2)[0].gamma
    0.5
    """
    if not values:
        raise ConfigError("expected a channel, got none: reload the page")
    shown = tuple(map(_parse_channel, values))
    for value, channel in zip(values, shown, strict=True):
        if not (channel.index < n_channels and 0 < channel.high - channel.low < float("inf")):
            raise ConfigError(f"expected one of {n_channels} channels and a range, got {value!r}: reload the page")
        if not LEAST_GAMMA <= channel.gamma <= MOST_GAMMA:
            raise ConfigError(f"expected a gamma of {LEAST_GAMMA:g} to {MOST_GAMMA:g}, got {value!r}: reload the page")
    if len({channel.index for channel in shown}) < len(shown):  # each costs time to draw
        raise ConfigError(f"expected each of {n_channels} channels once, got {len(shown)}: reload the page")
    return shown


def _parse_channel(value: str) -> ShownChannel:
    parts = _CHANNEL.fullmatch(value)
    try:
        if parts is None:
            raise ValueError
        return ShownChannel(int(parts[1]), parts[2], float(parts[3]), float(parts[4]), float(parts[5] or 1))
    except ValueError as error:
        raise ConfigError(
            f"expected INDEX,COLOR,LOW,HIGH[,GAMMA] of a channel, got {value!r}: reload the page"
        ) from error
