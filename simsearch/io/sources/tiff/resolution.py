"""Pixel sizes in tags that mean something else by them: printers, screens, cameras."""

from __future__ import annotations

from simsearch.core.pixel_size import Size, believable_pixel_size

_SMALLEST_UM, _LARGEST_UM = 0.005, 25.0  # 25 um is 1,000 dots per inch: what is coarser is for paper or a screen


def printed_pixel_size(size: tuple[float, float], unit: str) -> tuple[Size | None, tuple[str, ...]]:
    """Believe a resolution tag only where it can be a microscope's, and no printer's.

    Returns
    -------
    ((float, float) or None, tuple of str)
        The size in micrometres, and a note if it is not believed.

    Examples
    --------
    >>> printed_pixel_size((0.5, 0.5), "um")
    ((0.5, 0.5), ())
    >>> printed_pixel_size((1 / 72, 1 / 72), "inch")
    (None, ('pixels of 352.8 um are not believed, give --pixel-size if they are right',))
    """
    found, note = believable_pixel_size(size, unit)
    if found is None or all(_SMALLEST_UM <= side <= _LARGEST_UM for side in found):
        return found, (note,) if note else ()
    return None, (f"pixels of {found[0]:.4g} um are not believed, give --pixel-size if they are right",)
