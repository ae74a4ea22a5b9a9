"""What a conversion would make, as the command line prints it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from simsearch.cli.console import show_note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simsearch.workflows.convert.preview import ImagePreview, Preview, ProductPreview

_MOST_ROWS = 12
_MOST_FILES = 3

_out = Console(highlight=False)


def show_preview(preview: Preview) -> None:
    """Print what would become what, what would be left out, and what a user should know."""
    plates = [product for product in preview.products if product.is_plate]
    images = [product for product in preview.products if not product.is_plate]
    for plate in plates:
        _show_plate(plate)
    if images:
        _show_images(images)
    for note in preview.notes:
        show_note(note)
    _out.print("Nothing was written: leave --dry-run out to convert.")


def _show_plate(plate: ProductPreview) -> None:
    counts = Counter(image.path.rpartition("/")[0] for image in plate.images)
    fields = _range(counts.values(), "field")
    _out.print(f"Plate {plate.destination}", style="bold", markup=False, soft_wrap=True)
    _say("wells", f"{len(plate.wells)}, {plate.wells[0]} to {plate.wells[-1]}, {fields} each")
    _say_common(plate.images)
    _show_rows("field", [(image.path, image) for image in plate.images])


def _show_images(products: list[ProductPreview]) -> None:
    images = [image for product in products for image in product.images]
    _out.print("1 image" if len(images) == 1 else f"{len(images)} images", style="bold")
    _say_common(images)
    _show_rows("image", [(Path(product.destination).name, image) for product in products for image in product.images])
    _say("in", str(Path(products[0].destination).parent))


def _say_common(images: Iterable[ImagePreview]) -> None:
    """Print what images have in common, and where they differ."""
    images = list(images)
    _say("channels", "; ".join(dict.fromkeys(", ".join(image.channel_names) for image in images)))
    _say("pixels", ", ".join(dict.fromkeys(image.dtype for image in images)))
    sizes = dict.fromkeys(f"{h} x {w}" for h, w in (image.shape for image in images))
    _say("height x width", _some(list(sizes)) + " px")
    _say("pixel size", _some(list(dict.fromkeys(_pixel_size(image) for image in images))))
    _say("size", f"{decimal(sum(image.n_bytes for image in images))} at full resolution, before compression")


def _show_rows(noun: str, rows: list[tuple[str, ImagePreview]]) -> None:
    table = Table(noun, "made of", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, image in rows[:_MOST_ROWS]:
        table.add_row(Text(name), Text(_some(list(image.sources), _MOST_FILES)))
    _out.print(table)
    if len(rows) > _MOST_ROWS:
        _out.print(f"and {len(rows) - _MOST_ROWS} more")


def _pixel_size(image: ImagePreview) -> str:
    if image.pixel_size_um is None:
        return "not known"
    y, x = image.pixel_size_um
    return f"{y:g} um" if y == x else f"{y:g} x {x:g} um"


def _range(counts: Iterable[int], noun: str) -> str:
    low, high = min(counts := list(counts)), max(counts)
    return f"{low} {noun}{'s' if low != 1 else ''}" if low == high else f"{low} to {high} {noun}s"


def _some(values: list[str], most: int = 4) -> str:
    return ", ".join(values[:most]) + (f" and {len(values) - most} more" if len(values) > most else "")


def _say(label: str, value: str) -> None:
    _out.print(f"{label:<15}{value}", markup=False, soft_wrap=True)
