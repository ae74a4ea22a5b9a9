"""Handler of crops: pictures of patches, for galleries."""

from __future__ import annotations

from functools import partial

from tornado.web import HTTPError

from simsearch.app.server.tiles import PictureHandler
from simsearch.core.tiles import Region
from simsearch.io.pictures.render import render_crop

_NUMBER = r"(-?\d{1,9}(?:\.\d{1,9})?)"
CROP_ROUTE = rf"/crops/(\d{{1,9}})/{_NUMBER}/{_NUMBER}/{_NUMBER}/{_NUMBER}"
_MAX_SIDE_PX = 1024  # of a crop on the screen


class CropHandler(PictureHandler):
    """Answers with crops."""

    async def get(self, image: str, *place: str) -> None:
        """Send the picture of a patch: y and x of its centre, height and width, in level-0 pixels."""
        index = int(image)
        shown = self.shown(index)
        box = box_of(*(float(number) for number in place))
        side = self.get_argument("side", "")
        if not side.isdecimal() or not 1 <= int(side) <= _MAX_SIDE_PX:
            raise HTTPError(400, f"expected a side from 1 to {_MAX_SIDE_PX} px, got {side!r}: reload the page")
        if 0 in box.clipped(self._study.images[index].shape).shape:
            raise HTTPError(404, f"expected a place inside the image, got {box}: reload the page")
        await self.send(index, partial(render_crop, shown=shown, box=box, side_px=int(side)))


def box_of(y: float, x: float, height: float, width: float) -> Region:
    """Return the pixels of a patch around the centre of one.

    Examples
    --------
    >>> box_of(10, 10, 3, 5), box_of(9.5, 9.5, 4, 4)
    (Region(y0=9, y1=12, x0=8, x1=13), Region(y0=8, y1=12, x0=8, x1=12))
    """
    y0, x0 = round(y - height / 2 + 0.5), round(x - width / 2 + 0.5)
    return Region(y0, y0 + max(1, round(height)), x0, x0 + max(1, round(width)))
