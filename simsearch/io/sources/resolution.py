"""Pixel sizes in files that mean something else by them: printers, screens, cameras."""

from __future__ import annotations

_SMALLEST_UM, _LARGEST_UM = 0.005, 25.0


def plausible(size: tuple[float, float]) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Believe a pixel size only where it can be a microscope's.

    Returns
    -------
    ((float, float) or None, tuple of str)
        The size in micrometres, and a note if it is not believed.

    Examples
    --------
    >>> plausible((0.5, 0.5))
    ((0.5, 0.5), ())
    >>> plausible((352.8, 352.8))  # 72 dots per inch
    (None, ('pixels of 352.8 um are not believed, give --pixel-size if they are right',))
    """
    if all(_SMALLEST_UM <= side <= _LARGEST_UM for side in size):
        return size, ()
    return None, (f"pixels of {size[0]:.4g} um are not believed, give --pixel-size if they are right",)
