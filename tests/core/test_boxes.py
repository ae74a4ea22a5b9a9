from __future__ import annotations

from dataclasses import replace

import pytest

from simsearch.core.boxes import Box, check_box, patch_shapes
from simsearch.errors import AnnotationError

BOX = Box("slide", "RBC", 50.0, 60.0, 40.0, 30.0)
SHAPES = {"slide": (100, 120)}


def test_a_box_inside_is_fine() -> None:
    check_box(BOX, SHAPES)


@pytest.mark.parametrize(("y", "x"), [(19.5, 14.5), (79.5, 104.5), (18.5, 60), (80.5, 60), (50, 13.5), (50, 105.5)])
def test_a_box_may_touch_the_border_and_be_rounded_by_a_pixel(y: float, x: float) -> None:
    check_box(replace(BOX, y=y, x=x), SHAPES)


@pytest.mark.parametrize(("y", "x"), [(18.4, 60), (80.6, 60), (50, 13.4), (50, 105.6), (-50, 60), (500, 60)])
def test_a_box_outside_its_image_is_refused_with_both_sizes(y: float, x: float) -> None:
    with pytest.raises(AnnotationError, match=r"inside the 100 x 120 px of the image, got 40 x 30 px"):
        check_box(replace(BOX, y=y, x=x), SHAPES)


@pytest.mark.parametrize("field", ["y", "x", "height", "width"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(field: str, value: float) -> None:
    with pytest.raises(AnnotationError, match="expected"):
        check_box(replace(BOX, **{field: value}), SHAPES)


@pytest.mark.parametrize("field", ["height", "width"])
@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_box_without_size_is_refused(field: str, value: float) -> None:
    with pytest.raises(AnnotationError, match="positive height and width"):
        check_box(replace(BOX, **{field: value}), SHAPES)


def test_a_box_in_no_image_is_refused_and_the_images_are_listed() -> None:
    shapes = {f"image{i}": (100, 100) for i in range(5)}
    with pytest.raises(AnnotationError, match=r"\(image0, image1, image2, \.\.\.\), got 'slide'"):
        check_box(BOX, shapes)


def test_an_error_names_the_box() -> None:
    with pytest.raises(AnnotationError, match=r"^RBC at y 50 x 600 in slide: "):
        check_box(replace(BOX, x=600.0), SHAPES)


def test_the_first_box_of_a_class_gives_its_patch_shape_and_classes_keep_their_order() -> None:
    boxes = [replace(BOX, class_name=c, height=h) for c, h in [("b", 20.0), ("a", 30.0), ("b", 99.0)]]
    assert list(patch_shapes(boxes).items()) == [("b", (20.0, 30.0)), ("a", (30.0, 30.0))]
