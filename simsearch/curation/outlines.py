"""Actions on named regions: parts of images to run and count in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from simsearch.core.named_regions import NamedRegion
from simsearch.curation.actions import Action
from simsearch.errors import CurationError

if TYPE_CHECKING:
    from simsearch.curation.state import Curation

_CORNERS = 3  # at least, or nothing lies inside


@dataclass(frozen=True, slots=True)
class AddRegion(Action):
    """Outline a part of an image."""

    kind: ClassVar[str] = "add_region"
    image: str
    region: str
    """Its name."""
    corners: tuple[tuple[float, float], ...]
    """As of `NamedRegion`."""

    def __str__(self) -> str:
        return f"outline {self.region} in {self.image}"

    def apply(self, curation: Curation) -> Curation:
        """Add it behind the others."""
        if self.image not in curation.shapes:
            raise CurationError(f"expected the name of an image, got {self.image!r}: correct it")
        _check_name(curation, self.image, self.region)
        region = NamedRegion(self.image, self.region, self.corners)
        numbers = [number for corner in self.corners for number in corner]
        if len(self.corners) < _CORNERS or not all(map(math.isfinite, numbers)) or not region.area:
            raise CurationError(f"{region}: expected an outline of at least {_CORNERS} corners, got nothing inside")
        height, width = curation.shapes[self.image]
        top, left, bottom, right = region.bounds
        if top >= height - 0.5 or left >= width - 0.5 or bottom <= -0.5 or right <= -0.5:
            raise CurationError(
                f"{region}: expected a part of the {height} x {width} px of the image, got one beside it"
            )
        return replace(curation, regions=(*curation.regions, region))


@dataclass(frozen=True, slots=True)
class RenameRegion(Action):
    """Give a named region another name."""

    kind: ClassVar[str] = "rename_region"
    image: str
    region: str
    new_name: str

    def __str__(self) -> str:
        return f"rename {self.region} in {self.image} to {self.new_name}"

    def apply(self, curation: Curation) -> Curation:
        """Rename it."""
        renamed = replace(_find(curation, self.image, self.region), name=self.new_name)
        _check_name(curation, self.image, self.new_name)
        regions = (renamed if _is(each, self.image, self.region) else each for each in curation.regions)
        return replace(curation, regions=tuple(regions))


@dataclass(frozen=True, slots=True)
class RemoveRegion(Action):
    """Remove a named region."""

    kind: ClassVar[str] = "remove_region"
    image: str
    region: str

    def __str__(self) -> str:
        return f"remove {self.region} in {self.image}"

    def apply(self, curation: Curation) -> Curation:
        """Remove it; what was said of places in it stays."""
        removed = _find(curation, self.image, self.region)
        return replace(curation, regions=tuple(each for each in curation.regions if each is not removed))


def _is(region: NamedRegion, image: str, name: str) -> bool:
    return (region.image, region.name) == (image, name)


def _find(curation: Curation, image: str, name: str) -> NamedRegion:
    for each in curation.regions:
        if _is(each, image, name):
            return each
    raise CurationError(f"expected a named region of {image}, got {name!r}: it was removed, look again")


def _check_name(curation: Curation, image: str, name: str) -> None:
    if not name or name != name.strip() or not name.isprintable():
        raise CurationError(f"expected the name of a region, got {name!r}: choose printable characters")
    if any(_is(each, image, name) for each in curation.regions):
        raise CurationError(f"expected another name than that of a region of {image}, got {name!r}: choose another")
