"""A viewer of the displayed images: one at a time, with what was found and marked on it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bokeh.core.properties import value
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import SelectionGeometry, Tap

from simsearch.app.components.island import Island, Part, Wire
from simsearch.app.components.viewing.channel_looks import ChannelLooks
from simsearch.app.components.viewing.figure import LayerModels, add_layer, make_figure
from simsearch.app.components.viewing.scene import (
    Scene,
    find_peak,
    heat_columns,
    mark_columns,
    peak_columns,
    region_columns,
    score_at,
    suggestion_scene,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bokeh.plotting import figure

    from simsearch.app.components.island import Message
    from simsearch.app.components.viewing.scene import Layer, Mark
    from simsearch.app.context import PageContext
    from simsearch.app.session.snapshot import Snapshot
    from simsearch.core.named_regions import NamedRegion
    from simsearch.curation.state import Curation, Patch
    from simsearch.io.pictures.render import ShownChannel

_SMALLEST_BOX_PX = 4  # of level 0
_SMALLEST_DRAG_PX = 6  # on the screen: less is a click with a trembling hand
_ACCEPTED_INSIDE = 0.18  # opacity of the inside of boxes that somebody has approved
_NO_HEAT: dict[str, list[Any]] = {"image": [], "x": [], "y": [], "dw": [], "dh": []}


class ViewerWire(Wire):
    """What the bar above a viewer draws."""

    images = Part()
    view = Part()
    channels = Part()
    overview = Part()
    layers = Part()
    heat = Part()
    scale = Part()
    drawn = Part()


class Viewer:
    """Shows images.

    Its parts are `figure` and `bar`. In the browser, ``static/viewer.js`` draws the bar, and filters boxes while a
    slider moves.

    Parameters
    ----------
    context : PageContext
        Of the page.
    on_box : callable, optional
        Called with an image's name, y, x, height and width of a box that was drawn, in level-0 pixels. Without it a
        drag moves the image.
    on_flag : callable, optional
        Called with the name of a class, of an image, and y and x of what was clicked.
    on_place : callable, optional
        Called with an image's name, y and x of any place in it that was clicked.
    on_channels : callable, optional
        Called when channels are to be shown in another way.
    """

    def __init__(
        self,
        context: PageContext,
        on_box: Callable[[str, float, float, float, float], None] | None = None,
        on_flag: Callable[[str, str, float, float], None] | None = None,
        on_place: Callable[[str, float, float], None] | None = None,
        on_channels: Callable[[], None] = lambda: None,
    ) -> None:
        self._context, self._on_box, self._on_flag, self._on_place = context, on_box, on_flag, on_place
        self._on_channels = on_channels
        self._shapes = {image.name: image.shape for image in context.live.study.images}
        self._scene = Scene(())
        self._regions: tuple[NamedRegion, ...] = ()
        self._pointed_out: Mark | None = None
        self._image = ""
        self._active: str | None = None
        self._heat_class: str | None = None
        self._channels = ChannelLooks(context.urls, context.live.study.channel_names)
        self._unseen: frozenset[str] = frozenset()
        self._n_drawn = 0
        self._drawn: dict[str, tuple[object, ...]] = {}
        self._layers: dict[str, LayerModels] = {}
        self._parts = make_figure("", is_drawn_on=on_box is not None)
        self.figure = self._parts.plot
        self.figure.on_event(SelectionGeometry, self._take_box)
        self.figure.on_event(Tap, self._take_tap)
        self._bar = Island(
            ViewerWire(),
            {
                "image": lambda message: self.show_image(str(message["name"])),
                "channels": self._take_channels,
                "auto_channel": self._fit_channel,
                "heat": self._take_heat,
                "unseen": self._take_unseen,
            },
        )
        self.bar = self._bar.root

    @property
    def image(self) -> str:
        """Name of the image that is shown; empty before the first state."""
        return self._image

    @property
    def channels(self) -> tuple[ShownChannel, ...]:
        """How channels are shown."""
        return self._channels.shown

    def update(self, snapshot: Snapshot) -> None:
        """Draw another state, with what is suggested."""
        self.draw(suggestion_scene(snapshot), snapshot.curation)
        if self._is_other("heat", (snapshot.suggestions.version,)) and self._heat_class is not None:
            self._show_heat(self._heat_class)

    def draw(self, scene: Scene, curation: Curation, image: str | None = None) -> None:
        """Draw a scene, on one of its images if that is named; else the one that is shown stays, if it has it."""
        self._scene, self._regions = scene, curation.regions
        self._show_channels(curation)
        image = self._image if image is None else image
        image = image if image in scene.images else next(iter(scene.images), "")
        self._bar.send(images={"names": scene.images})
        self._draw_image(image)

    def show_image(self, name: str) -> None:
        """Show one of the displayed images."""
        if name in self._scene.images:
            self._draw_image(name)

    def step(self, steps: int) -> None:
        """Show the next image, or with -1 the one before; after the last comes the first."""
        names = self._scene.images
        if names:
            self.show_image(names[(names.index(self._image) + steps) % len(names)])

    def activate(self, class_name: str | None) -> None:
        """Let clicks and the heat map be about one class only."""
        self._active = class_name
        if self._heat_class is not None:
            self._show_heat(class_name)

    def go_to(self, image: str, y: float, x: float) -> None:
        """Show a place."""
        self.show_image(image)
        layer = self._scene.layer(self._active) if self._active else None
        shapes = [layer.patch_shape] if layer else [each.patch_shape for each in self._scene.layers]
        shapes += [] if shapes else [each.patch_shape for each in self._scene.marks]
        side = max(map(max, shapes), default=64.0)
        self._send_view(at={"y": y, "x": x, "side": side})

    def point_out(self, mark: Mark | None) -> None:
        """Mark one thing beside what the scene has, or none."""
        self._pointed_out = mark
        self._draw_marks()

    def layer(self, class_name: str) -> Layer | None:
        """Find what is shown of a class."""
        return self._scene.layer(class_name)

    def score(self, class_name: str, at: Patch) -> float | None:
        """Tell the score of what was found of a class at a place, if something was."""
        return score_at(self._scene, class_name, at)

    def _draw_image(self, name: str) -> None:
        is_new, is_first = name != self._image, not self._image
        self._image = name
        if is_new and name:
            height, width = self._shapes[name]
            self._draw_pixels()
            if is_first:
                self.figure.x_range.update(start=0, end=width)
                self.figure.y_range.update(start=-height, end=0)
            self._context.doc.add_next_tick_callback(partial(self._measure, name))
            self._send_view()
            if self._heat_class is not None:
                self._show_heat(self._heat_class)
        self._draw_layers()
        self._draw_marks()
        if self._is_other("regions", (self._regions, name)):
            self._parts.regions.data = region_columns(self._regions, name)
        self._n_drawn += 1
        self._bar.send(drawn=self._n_drawn)  # by now all else has been sent

    def _send_view(self, at: dict[str, float] | None = None) -> None:
        height, width = self._shapes[self._image]
        index = self._context.urls.indices[self._image]
        self._bar.send(view={"image": self._image, "index": index, "height": height, "width": width, "at": at})

    def _draw_layers(self) -> None:
        for key in set(self._layers) - {layer.key for layer in self._scene.layers}:
            self._remove_layer(key)
        for layer in self._scene.layers:
            if layer.key not in self._layers:
                dash = "dashed" if layer.is_compared else "solid"
                self._layers[layer.key] = add_layer(self._parts, layer.key, layer.color, dash)
            self._draw_layer(layer, self._layers[layer.key])
        self._bar.send(layers=[_layer_part(layer) for layer in self._scene.layers])

    def _remove_layer(self, key: str) -> None:
        models = self._layers.pop(key)
        for model in (models.source, models.limit):
            model.name = None  # scripts find removed models for another half minute, and the name may be used again
        self.figure.renderers = [each for each in self.figure.renderers if each is not models.renderer]
        for part in ("looks", "limit", "peaks"):
            self._drawn.pop(f"{part} of {key}", None)

    def _draw_layer(self, layer: Layer, models: LayerModels) -> None:
        glyph = models.renderer.glyph
        height, width = layer.patch_shape
        looks = {"width": value(width), "height": value(height), "line_color": value(layer.color),
                 "fill_color": value(layer.color)}  # fmt: skip
        if self._is_other(f"looks of {layer.key}", (height, width, layer.color)):
            glyph.update(**looks)
        if self._is_other(f"limit of {layer.key}", (layer.threshold,)):
            models.limit.data = {"threshold": [layer.threshold]}
        drawn = (layer.peaks, layer.flagged, layer.own, layer.patch_shape, self._scene.peak_images, self._image)
        if self._is_other(f"peaks of {layer.key}", drawn):
            models.source.data = peak_columns(self._scene, layer, self._image)

    def _draw_marks(self) -> None:
        marks = (*self._scene.marks, *([self._pointed_out] if self._pointed_out else []))
        if self._is_other("marks", (marks, self._image)):
            self._parts.marks.data = mark_columns(marks, self._image)

    def _is_other(self, name: str, drawn: tuple[object, ...]) -> bool:
        """Tell whether something is not what was drawn, and remember it: what has not changed does not travel."""
        before = self._drawn.get(name)
        is_same = before is not None and all(a is b or (a == b) is True for a, b in zip(before, drawn, strict=True))
        self._drawn[name] = drawn
        return not is_same

    def _take_box(self, event: SelectionGeometry) -> None:
        if self._on_box is None or not event.final or event.geometry["type"] != "rect" or not self._image:
            return
        shape = self._shapes[self._image]
        y, x, height, width = box_inside(event.geometry, shape)
        seen = self.figure.x_range.end - self.figure.x_range.start
        if min(height, width) >= smallest_box(seen, _screen_width(self.figure)):
            self._on_box(self._image, y, x, height, width)

    def _take_tap(self, event: Tap) -> None:
        if event.x is None or event.y is None or not self._image:
            return
        y, x = -event.y - 0.5, event.x - 0.5
        height, width = self._shapes[self._image]
        if self._on_place is not None and -0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5:
            self._on_place(self._image, y, x)
        seen = replace(
            self._scene, layers=tuple(layer for layer in self._scene.layers if layer.key not in self._unseen)
        )
        found = None if self._on_flag is None else find_peak(seen, self._image, (y, x), self._active)
        if self._on_flag is not None and found is not None:
            self._on_flag(found[0], self._image, *found[1:])

    async def _measure(self, name: str) -> None:
        size = await asyncio.to_thread(self._context.pixel_size_um, name)
        if name == self._image:
            self._bar.send(scale={"um": size})

    def _draw_pixels(self) -> None:
        urls, shown = self._context.urls, self._channels.shown
        self._parts.tiles.url = urls.tile_template(self._image, shown)
        self._bar.send(overview={"url": urls.thumbnail(self._image, shown)})

    def _show_channels(self, curation: Curation) -> None:
        if self._channels.follow(curation) and self._image:
            self._draw_pixels()
        self._bar.send(channels=self._channels.parts())

    def _take_channels(self, message: Message) -> None:
        for each in message["channels"]:
            self._channels.change(each)
        self._show_changed_channels()

    def _fit_channel(self, message: Message) -> None:
        self._context.doc.add_next_tick_callback(partial(self._fit_channel_to, int(message["index"]), self._image))

    async def _fit_channel_to(self, index: int, image: str) -> None:
        fitting = await asyncio.to_thread(self._context.fitting_channels, image)
        if index < len(fitting):
            self._channels.set_range(index, fitting[index].low, fitting[index].high)
            self._show_changed_channels()

    def _show_changed_channels(self) -> None:
        self._show_channels(self._context.live.snapshot.curation)
        self._on_channels()

    def _take_unseen(self, message: Message) -> None:
        self._unseen = frozenset(map(str, message["keys"]))

    def _take_heat(self, message: Message) -> None:
        self._show_heat(str(message["name"]) if message["name"] else None)

    def _show_heat(self, class_name: str | None) -> None:
        """Fetch the similarity map of a class on the image, and draw it when it is there."""
        self._heat_class = class_name
        self._bar.send(heat={"name": class_name})
        if class_name is None:
            self._parts.heat.data = dict(_NO_HEAT)
        else:
            self._context.doc.add_next_tick_callback(partial(self._fetch_heat, class_name, self._image))

    async def _fetch_heat(self, class_name: str, image: str) -> None:
        found = await asyncio.to_thread(self._context.live.similarity_map, class_name, image)
        if (class_name, image) == (self._heat_class, self._image):
            self._parts.heat.data = dict(_NO_HEAT) if found is None else heat_columns(found)


def box_inside(geometry: Mapping[str, Any], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Turn a rectangle of the figure into y, x, height and width in level-0 pixels, cut at the image's borders.

    Examples
    --------
    >>> box_inside({"x0": -5, "x1": 10, "y0": -20, "y1": -4}, (100, 100))
    (11.5, 4.5, 16, 10)
    """
    left, right = (min(max(geometry[side], 0), shape[1]) for side in ("x0", "x1"))
    top, bottom = (min(max(-geometry[side], 0), shape[0]) for side in ("y1", "y0"))
    # Centres of pixels are half a pixel right of, and below, their left and upper edges.
    return (top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5, bottom - top, right - left


def smallest_box(seen: float, screen_px: int | None) -> float:
    """Tell how long the sides of a box must be, in level-0 pixels.

    Parameters
    ----------
    seen : float
        Width of what is seen, in level-0 pixels.
    screen_px : int, optional
        How many pixels of the screen that takes, where that is known.

    Examples
    --------
    >>> smallest_box(8000, 800), smallest_box(400, 800), smallest_box(400, None)
    (60.0, 4, 4)
    """
    return max(_SMALLEST_BOX_PX, _SMALLEST_DRAG_PX * seen / screen_px) if screen_px else _SMALLEST_BOX_PX


def _screen_width(plot: figure) -> int | None:
    try:
        return int(plot.inner_width)
    except UnsetValueError:  # no browser has drawn it yet
        return None


def _layer_part(layer: Layer) -> dict[str, Any]:
    """Write a layer for a script to draw."""
    return {
        "key": layer.key,
        "name": layer.name,
        "color": layer.color,
        "inside": _ACCEPTED_INSIDE if layer.is_accepted else 0.0,
        "is_compared": layer.is_compared,
    }
