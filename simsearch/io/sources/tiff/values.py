"""What stored values of a TIFF file mean: white is zero, palettes, YCbCr, transparency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from tifffile import PHOTOMETRIC, TiffPage, TiffPageSeries

from simsearch.errors import SourceError
from simsearch.io.sources.protocol import as_stored, stored_dtype
from simsearch.io.sources.tiff.chroma import as_rgb, needs_conversion
from simsearch.io.sources.tiff.series import pages_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simsearch.io.sources.protocol import SourceSpec

_PHOTOMETRICS = (
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
    PHOTOMETRIC.YCBCR,
)
_COLORS = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
_ALPHAS = (1, 2)  # ExtraSamples: associated and unassociated alpha


class Values:
    """How samples of a page become values of channels.

    Parameters
    ----------
    series : TiffPageSeries
        The image.
    n_samples : int
        Samples of a pixel, alpha included.
    spec : SourceSpec
        Its path is for messages; it tells whether a palette is how values are drawn, or what they mean.

    Raises
    ------
    SourceError
        If they are neither grey nor RGB, or of a type that no image holds.
    """

    def __init__(self, series: TiffPageSeries, n_samples: int, spec: SourceSpec) -> None:
        page, path = series.keyframe, spec.path
        if page.photometric not in _PHOTOMETRICS:
            got = getattr(page.photometric, "name", page.photometric)
            raise SourceError(f"{path}: expected grey, RGB or palette pixels, got {got}: save it as RGB")
        self._page = page
        self._transform: Any = series.transform
        self._palettes: list[NDArray[np.uint8]] = []
        self.notes: tuple[str, ...] = ()
        if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
            # In OME and ImageJ files a palette is how a channel is drawn, not what its values mean.
            if spec.palette == "drawn":
                self.notes += ("its colours are a look-up table that only draws its values: it is left out",)
            elif series.kind not in ("ome", "imagej"):
                self._palettes = _palettes(series)
        self.dtype, changes = stored_dtype(np.uint8 if self._palettes else series.dtype, path)
        self._invert = page.photometric == PHOTOMETRIC.MINISWHITE
        if self._invert and np.dtype(self.dtype).kind == "f":
            self._invert = False
            changes += ("white is zero in it, and values are kept as they are",)
        self.n_kept = _without_alpha(page, n_samples)
        if self.n_kept < n_samples:
            changes += ("transparency is left out",)
        self.notes += changes
        is_color = page.photometric in _COLORS and self.n_kept == 3
        self.is_rgb = len(self._palettes[0]) == 3 if self._palettes else is_color
        self.n_channels = 3 if self.is_rgb else self.n_kept
        self.fill = self._background(n_samples)

    def of(self, samples: NDArray[np.generic], page: int) -> NDArray[np.generic]:
        """Turn samples (s, h, w) of a page, which is counted from 0, into values (channels, h, w) to be stored."""
        samples = samples[: self.n_kept]
        if self._transform is not None:
            samples = self._transform(samples)
        if self._palettes:
            index = samples[0].astype(np.uint8) if samples.dtype.kind == "b" else samples[0]
            return np.ascontiguousarray(self._palettes[page][:, index])
        if needs_conversion(self._page):
            samples = as_rgb(samples, self._page)
        values = as_stored(samples, self.dtype)
        return self._inverted(values) if self._invert else values

    def _inverted(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        bits = self._page.bitspersample
        # A white-is-zero value of 12 bits is as far from 4095, whatever holds it; a signed one is mirrored about -1/2.
        is_narrow = values.dtype.kind == "u" and 1 < bits < 8 * values.dtype.itemsize
        most = 2**bits - 1 if is_narrow else np.invert(np.zeros(1, values.dtype))[0]
        return np.asarray(np.subtract(most, values, dtype=values.dtype))

    def _background(self, n_samples: int) -> tuple[float, ...]:
        # Scanners leave tiles out where there is glass; what is drawn in grey is dark there.
        dtype = np.dtype(self._page.dtype)
        if not self.is_rgb or self._palettes or dtype.kind != "u":
            return (float(self._page.nodata),) * n_samples
        most = float(np.iinfo(dtype).max)
        if needs_conversion(self._page):
            return most, (most + 1) // 2, (most + 1) // 2
        return (most,) * n_samples


def _without_alpha(page: TiffPage, n_samples: int) -> int:
    has_alpha = n_samples in (2, 4) and any(int(extra) in _ALPHAS for extra in page.extrasamples)
    return n_samples - 1 if has_alpha else n_samples


def _palettes(series: TiffPageSeries) -> list[NDArray[np.uint8]]:
    # Pages that are stored alike may have palettes of their own, which tifffile does not read.
    first = series.keyframe
    found = [page.aspage() if page is not None and page is not first else first for page in pages_of(series)]
    tables = [_colors(page.colormap if page.colormap is not None else first.colormap) for page in found]
    is_grey = all((table == table[:1]).all() for table in tables)
    return [table[:1] if is_grey else table for table in tables]


def _colors(colormap: Any) -> NDArray[np.uint8]:  # noqa: ANN401  what the tag has
    table = np.asarray(colormap)
    # Some write maps of 8 bits, where the standard has 16.
    return (table if table.max(initial=0) < 256 else table >> 8).astype(np.uint8)
