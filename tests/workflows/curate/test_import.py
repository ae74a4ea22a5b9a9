"""What other programs have drawn comes into a study by the command, and what does not is told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from simsearch.cli import main
from simsearch.errors import AnnotationError, SourceError
from simsearch.workflows.curate.annotation_files import ImportOptions, image_named
from simsearch.workflows.curate.exchange import import_annotations
from simsearch.workflows.curate.study import StudyOptions, create_study, read_curation
from tests.io.annotations.test_slide_viewers import write_ndpi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simsearch.workflows.curate.study import Study
    from tests.conftest import SaveImage

SHAPE = (100, 200)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage) -> list[str]:
    folder = tmp_path_factory.mktemp("images")
    save_image(folder / "slide.ome.zarr", np.zeros((1, *SHAPE), np.uint8), pixel_size_um=(0.25, 0.5))
    save_image(folder / "other.ome.zarr", np.zeros((1, *SHAPE), np.uint8))
    return [str(folder / f"{name}.ome.zarr") for name in ("slide", "other")]


@pytest.fixture
def study(tmp_path: Path, images: Sequence[str]) -> Study:
    return create_study(tmp_path / "study", images[:1], StudyOptions())


@pytest.fixture
def two(tmp_path: Path, images: Sequence[str]) -> Study:
    return create_study(tmp_path / "two", images, StudyOptions())


def run(*arguments: object) -> tuple[int, list[str]]:
    result = CliRunner().invoke(main, ["study", "import", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output.splitlines()


def prototypes(study: Study) -> list[tuple[str, float, float]]:
    return [(each.name, p.y, p.x) for each in read_curation(study)[0].state.classes for p in each.prototypes]


def box(top: float, left: float, side: float = 20, **properties: object) -> dict[str, Any]:
    ring = [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def point(y: float, x: float, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, y]}, "properties": properties}


def write(path: Path, *features: object) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_drawings_come_in_and_the_rest_is_told_of(study: Study, tmp_path: Path) -> None:
    cells = [box(50, 20 * i, objectType="cell", classification={"name": "Positive"}) for i in range(5)]
    path = write(
        tmp_path / "slide.geojson",
        box(10, 30, classification={"name": "Tumor", "color": [200, 0, 0]}),
        *cells,
        box(40, 60, 100),
        box(40, 61, 100, classification=None),
        box(0, 0, 90, classification="Ignore*"),
        box(60, 100, classification={"name": "Stroma"}),
        box(70, 150, classification={"name": "background"}),
    )
    code, lines = run(study.folder, path)
    assert code == 0
    assert lines == [
        "Imported: 2 prototypes, 1 background; there before: 0",
        "  Tumor: 1 prototype (new class)",
        "  Stroma: 1 prototype (new class)",
        'Note: 5 left out: results of QuPath and no drawings (objectType "cell"); the first is feature 2',
        "Note: 2 left out: without a class (--class NAME gives them one); the first is feature 7 at y 89.5 x 109.5",
        "Note: 1 left out: classes that QuPath ignores (Ignore*, Region* and others with a *); the first is feature 9 "
        "at y 44.5 x 44.5",
    ]
    assert prototypes(study) == [("Tumor", 19.5, 39.5), ("Stroma", 69.5, 109.5)]
    assert read_curation(study)[0].state.roi_class("Tumor").color == "#c80000"
    assert read_curation(study)[0].state.patch_shape == (20, 20)
    assert run(study.folder, path)[1][0] == "Imported: nothing new; there before: 3"


def test_regions_without_a_class_get_one(study: Study, tmp_path: Path) -> None:
    path = write(tmp_path / "slide.geojson", box(10, 30), box(50, 60, classification="Tumor"))
    assert run(study.folder, path, "--class", "cell")[1] == [
        "Imported: 2 prototypes; there before: 0",
        "  cell: 1 prototype (new class)",
        "  Tumor: 1 prototype (new class)",
    ]


def test_points_need_a_patch_shape_and_fit(study: Study, tmp_path: Path) -> None:
    path = write(tmp_path / "slide.geojson", point(40.5, 50.5, classification="Tumor"))
    code, [line] = run(study.folder, path, "--fit")
    assert code == 2
    assert "expected a prototype with a height and a width" in line

    write(path, point(40.5, 50.5, classification="Tumor"), box(10, 30, 24, classification="Tumor"))
    code, [line] = run(study.folder, path)
    assert code == 2
    assert "slide.geojson, feature 1: expected a box, got a point or a line at y 40 x 50 in slide: add --fit" in line
    assert run(study.folder, path, "--fit")[0] == 0
    assert prototypes(study) == [("Tumor", 40, 50), ("Tumor", 21.5, 41.5)]
    assert read_curation(study)[0].state.patch_shape == (24, 24)


def test_fitted_patches_that_would_not_lie_in_the_image_are_left_out(study: Study, tmp_path: Path) -> None:
    features = [
        box(10, 30, 24, classification="T"),
        box(0, 50, 10, classification="T"),
        box(88, 50, 12, classification="T"),
    ]
    code, lines = run(study.folder, write(tmp_path / "slide.geojson", *features), "--fit")
    assert code == 0
    assert lines[0] == "Imported: 1 prototype; there before: 0"
    assert lines[-1].startswith(
        "Note: 2 left out: nearer to the border of the image than half a patch; the first is feature 2"
    )

    write(tmp_path / "slide.geojson", box(90, 50, 24, classification="T"), box(70, 190, 24, classification="T"))
    for fit in ([], ["--fit"]):
        code, lines = run(study.folder, tmp_path / "slide.geojson", *fit)
        assert code == 2
        assert "feature 1: patch at y 101.5 x 61.5 in slide: expected a box inside the 100 x 200 px" in "".join(lines)
        assert "  feature 2: " in "".join(lines)


@pytest.mark.parametrize("name", ["R\x1b[31mBC", "R\nBC"])
def test_names_that_cannot_be_printed_are_refused(study: Study, tmp_path: Path, name: str) -> None:
    ours = {"source": "simsearch", "image": name}
    for feature in (box(1, 1, classification=name), box(1, 1, classification="T", metadata=ours)):
        code, [line] = run(study.folder, write(tmp_path / "slide.geojson", feature))
        assert code == 2
        assert "expected a name of printable characters" in line
        assert "\x1b" not in line


def test_many_problems_are_counted(study: Study, tmp_path: Path) -> None:
    path = write(
        tmp_path / "slide.geojson", *[box(1, 1, classification=3) for _ in range(50)], box(1, 1, classification="T")
    )
    with pytest.raises(AnnotationError) as caught:
        import_annotations(study, path, user="ada")
    lines = str(caught.value).splitlines()
    assert "got 50 of 51 that do not" in lines[0]
    assert (len(lines), lines[-1]) == (22, "  and 30 more")


def test_what_a_table_leaves_out_is_told(study: Study, tmp_path: Path) -> None:
    rows = ["image,class,role,y,x,height,width", "slide,Größe,prototype,50,50,20,20"]
    (tmp_path / "a.csv").write_bytes("\n".join(rows).encode("cp1252"))
    assert "Windows-1252" in run(study.folder, tmp_path / "a.csv")[1][-1]
    unused = "Note: --offset is for NDPA: a.csv says itself where regions are, and was read without"
    assert unused in run(study.folder, tmp_path / "a.csv", "--offset", "1,2")[1]


# Which image


def test_a_file_is_about_the_image_it_is_named_after_or_the_only_one(study: Study, two: Study, tmp_path: Path) -> None:
    path = write(tmp_path / "drawn.geojson", box(1, 1, classification="T"))
    code, lines = run(study.folder, path)
    assert (code, lines[-1]) == (
        0,
        "Note: drawn.geojson is named after no image: taken to be about slide, the only one of the study",
    )
    code, [line] = run(two.folder, path)
    assert code == 2
    assert "named after one of the images (other, slide), got 'drawn.geojson': rename it, or add --image" in line
    code, [line] = run(two.folder, path, "--image", "drawn")
    assert code == 2
    assert "one of the images (other, slide), got 'drawn': correct --image" in line
    assert run(two.folder, path, "--image", "other")[1][0] == "Imported: 1 prototype; there before: 0"


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.ndpi.ndpa", "a"),
        ("a.b.roi.zip", "a.b"),
        ("x/a.geojson", "x/a"),
        ("v.1/a", None),
        (".a", None),
        ("b.xml", None),
    ],
)
def test_images_are_found_by_the_names_of_files(name: str, image: str | None) -> None:
    assert image_named(name, ["a", "a.b", "x/a", "v"]) == image


def test_a_folder_has_a_file_for_each_image(two: Study, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    roiwrite(folder / "slide.roi", ImagejRoi(roitype=ROI_TYPE.RECT, top=4, left=3, bottom=24, right=23, group=1))
    roiwrite(folder / "other.zip", [ImagejRoi(roitype=ROI_TYPE.RECT, top=9, left=8, bottom=29, right=28)])
    (folder / "read.me").write_text("hello")
    code, lines = run(two.folder, folder)
    assert code == 0
    assert lines[:2] == ["Imported: 1 prototype; there before: 0", "  group 1: 1 prototype (new class)"]
    assert lines[2].startswith("Note: 1 left out: without a class")
    assert "other.zip, " in lines[2]
    assert run(two.folder, folder, "--image", "slide")[0] == 2
    with pytest.raises(SourceError, match=r"files that end in \.geojson"):
        import_annotations(two, tmp_path / "two", user="ada")


# Kinds with a need of their own


def test_labels_are_boxes_or_their_centres(study: Study, tmp_path: Path, images: Sequence[str]) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[10:30, 20:40] = 1
    labels[50:70, 60:84] = 2
    tifffile.imwrite(tmp_path / "slide.tif", labels)
    code, lines = run(study.folder, tmp_path / "slide.tif", "--class", "cell")
    assert code == 2
    assert "slide.tif, label 2: expected a patch of 20 x 20 px" in lines[0]
    assert run(study.folder, tmp_path / "slide.tif", "--class", "cell", "--fit")[0] == 0
    assert prototypes(study) == [("cell", 19.5, 29.5), ("cell", 59.5, 71.5)]


def test_labels_know_the_image_that_they_lie_in(two: Study, images: Sequence[str], save_image: SaveImage) -> None:
    labels = np.zeros((1, *SHAPE), np.uint8)
    labels[0, 10:30, 20:40] = 7
    path = two.folder.parent / "images" / "slide.ome.zarr"
    save_image(path, labels)
    save_image(path / "labels" / "cells", labels)
    here = create_study(two.folder.parent / "here", [path, images[1]], StudyOptions())
    report = import_annotations(here, path / "labels" / "cells", user="ada", options=ImportOptions(class_name="c"))
    assert (report.n_added, report.notes) == ({"prototype": 1}, ())
    assert prototypes(here) == [("c", 19.5, 29.5)]


NDPA = (
    "<annotations><ndpviewstate><title>Tumor</title><annotation><pointlist>{}</pointlist></annotation></ndpviewstate>"
    "</annotations>"
).format("".join(f"<point><x>{x}</x><y>{y}</y></point>" for y, x in [(-6500, -38_000), (-1500, -28_000)]))


def test_ndpa_needs_the_slide_or_its_offset(study: Study, two: Study, tmp_path: Path) -> None:
    path = tmp_path / "slide.ndpi.ndpa"
    path.write_text(NDPA)
    write_ndpi(tmp_path / "slide.ndpi")
    code, [line] = run(study.folder, path)
    assert code == 2
    assert (
        "where slide lies on its slide, which NDPA is relative to, got nothing: add --slide FILE.ndpi, or --offset"
        in line
    )
    code, [line] = run(two.folder, path, "--offset", "1000,2000", "--image", "other")
    assert code == 2
    assert "got an image without a pixel size" in line
    assert run(study.folder, path, "--offset", "1000")[0] == 2

    assert run(study.folder, path, "--slide", tmp_path / "slide.ndpi")[0] == 0
    # 20 px from the top, 20 from the left: (-6500 - 1000) / 250 + 50 and (-38 000 - 2000) / 500 + 100.
    assert prototypes(study) == [("Tumor", 29.5, 29.5)]
    assert run(two.folder, path, "--offset", "1000,2000")[0] == 0
    assert prototypes(two) == prototypes(study)


def test_the_slide_must_be_that_of_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "slide.ome.zarr", np.zeros((1, 64, 64), np.uint8))
    study = create_study(tmp_path / "study", [tmp_path / "slide.ome.zarr"], StudyOptions())
    (tmp_path / "slide.ndpa").write_text(NDPA)
    write_ndpi(tmp_path / "slide.ndpi")
    code, [line] = run(study.folder, tmp_path / "slide.ndpa", "--slide", tmp_path / "slide.ndpi")
    assert code == 2
    assert "expected the slide that slide was converted from, of 64 x 64 px, got one of 100 x 200 px" in line
