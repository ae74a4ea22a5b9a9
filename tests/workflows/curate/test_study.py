"""Studies are created, imported into, exported from and shown; by function and by command."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.curation.actions import AddClass, SetSimilarityThreshold, apply
from simsearch.curation.marks import AcceptClass, AddPrototypes, FlagNegatives, FlagNotBackground
from simsearch.curation.state import Curation, Patch
from simsearch.errors import AnnotationError, ConfigError, CurationError, SourceError, StoreError
from simsearch.workflows.curate import study as study_module
from simsearch.workflows.curate.annotation_files import ImportOptions
from simsearch.workflows.curate.exchange import export_annotations, import_annotations
from simsearch.workflows.curate.sight import study_groups
from simsearch.workflows.curate.study import (
    Study,
    StudyOptions,
    create_study,
    open_curation,
    open_study,
    read_curation,
    study_images,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import SaveImage

HEADER = "image,class,role,y,x,height,width"
ROWS = (
    "a,RBC,prototype,50,50.125,48,40",
    "b,RBC,prototype,40,40,48,40",
    "a,WBC,prototype,60,150,48,40",
    "a,RBC,positive,100,30,48,40",
    "a,RBC,positive,0,199,48,40",
    "b,RBC,negative,70,120,48,40",
    "a,,background,110,110,48,40",
)


@pytest.fixture(scope="session")
def image_paths(tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage) -> list[str]:
    folder = tmp_path_factory.mktemp("images")
    names = ("DNA", "GFP")
    for name in "abcdefgh":
        save_image(folder / f"{name}.ome.zarr", np.zeros((2, 130, 200), np.uint8), channel_names=names)
    return [str(folder / f"{name}.ome.zarr") for name in "abcdefgh"]


@pytest.fixture
def study(tmp_path: Path, image_paths: Sequence[str]) -> Study:
    return create_study(tmp_path / "study", image_paths, StudyOptions())


def table(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def state(study: Study) -> Curation:
    return read_curation(study)[0].state


def said(study: Study) -> Counter[tuple[str, str, str, float, float]]:
    """All that was said, but for ids."""
    curation = state(study)
    return Counter(
        (name, role, patch.image, patch.y, patch.x)
        for each in curation.classes
        for name, role, patches in (
            (each.name, "prototype", each.prototypes),
            (each.name, "positive", each.positives),
            (each.name, "negative", each.negatives),
        )
        for patch in patches
    ) + Counter(("", "background", patch.image, patch.y, patch.x) for patch in curation.background)


# Creating and opening


def test_a_study_is_what_was_asked_for(study: Study, image_paths: Sequence[str]) -> None:
    assert open_study(study.folder) == study
    assert [image.path for image in study.images] == image_paths
    assert {image.shape for image in study.images} == {(130, 200)}
    assert study.initial == state(study)
    assert study.initial.channels == ("DNA", "GFP")
    assert sorted(path.name for path in study.folder.iterdir()) == ["curation.jsonl", "study.json"]


def test_images_are_in_natural_order_whatever_a_shell_says(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = np.zeros((2, 64, 64), np.uint16)
    numbered = [save_image(tmp_path / f"blood {i}.ome.zarr", pixels).path for i in (1, 10, 2)]
    named = create_study(tmp_path / "named", numbered, StudyOptions())
    assert [image.name for image in named.images] == ["blood 1", "blood 2", "blood 10"]
    assert create_study(tmp_path / "folder", [tmp_path], StudyOptions()).images == named.images


def test_images_are_displayed_by_chance_by_seed_or_by_name(tmp_path: Path, image_paths: Sequence[str]) -> None:
    def displayed(name: str, display: int | tuple[str, ...], seed: int = 0) -> tuple[str, ...]:
        return create_study(tmp_path / name, image_paths, StudyOptions(display=display, seed=seed)).displayed

    chosen = [displayed(f"{seed}", 3, seed) for seed in range(4)]
    assert [len(each) for each in chosen] == [3] * 4
    assert all(list(each) == sorted(each) for each in chosen)
    assert len(set(chosen)) > 1
    assert displayed("again", 3, seed=2) == chosen[2]
    assert displayed("more than there are", 20) == tuple("abcdefgh")
    assert displayed("names", ("g", "b")) == ("g", "b")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (StudyOptions(display=0), ConfigError, "at least one image to display"),
        (StudyOptions(display=("a", "z")), ConfigError, "expected images out of a, b, c, d, e, ..., got 'z'"),
        (StudyOptions(display=("a", "a")), ConfigError, "one of them twice"),
        (StudyOptions(channels=("RFP",)), AnnotationError, "channels out of DNA, GFP, got 'RFP'"),
        (StudyOptions(channels=("DNA", "0")), ConfigError, "one of them twice"),
        (StudyOptions(z=4), ConfigError, "one of 1 z planes"),
    ],
)
def test_a_study_that_cannot_be_is_not_begun(
    tmp_path: Path, image_paths: Sequence[str], options: StudyOptions, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        create_study(tmp_path / "study", image_paths, options)
    assert not (tmp_path / "study").exists()


def test_nobody_else_may_look_into_a_private_study(tmp_path: Path, image_paths: Sequence[str]) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    for folder in (tmp_path / "new", there):
        create_study(folder, image_paths, StudyOptions(private=True))
        assert folder.stat().st_mode & 0o777 == 0o700
    create_study(tmp_path / "shared", image_paths, StudyOptions())
    assert (tmp_path / "shared").stat().st_mode & 0o777 != 0o700


def test_what_a_study_says_may_be_missing_or_lead_elsewhere_anywhere(study: Study) -> None:
    path = study.folder / "study.json"
    content = json.loads(path.read_text())
    image = content["images"][0]
    for wrong in (
        {**image, "shape": [130]},
        {**image, "shape": "ab"},
        {**image, "name": "../../escape"},
        {"name": "a"},
    ):
        path.write_text(json.dumps({**content, "images": [wrong]}))
        with pytest.raises((StoreError, ConfigError), match="study"):
            open_study(study.folder)
    path.write_text('{"version": 1, "images": ' + "[" * 100_000)
    with pytest.raises(StoreError, match="expected the description of a study"):
        open_study(study.folder)


def test_a_study_is_not_created_twice(study: Study, image_paths: Sequence[str]) -> None:
    with pytest.raises(StoreError, match="a folder without a study"):
        create_study(study.folder, image_paths, StudyOptions())
    with open_curation(study) as journal:
        journal.append("ada", AddClass("RBC", "#000000"))
    (study.folder / "study.json").unlink()
    with pytest.raises(StoreError, match="expected no journal, got one with actions"):
        create_study(study.folder, image_paths, StudyOptions())


def test_a_study_that_was_begun_and_killed_can_be_created(tmp_path: Path, image_paths: Sequence[str]) -> None:
    (tmp_path / "curation.jsonl").touch()
    assert open_study(create_study(tmp_path, image_paths, StudyOptions()).folder).images


def test_a_study_that_is_there_has_its_measurement_also_where_its_making_was_killed(
    tmp_path: Path, image_paths: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def kill(path: Path) -> None:
        raise KilledError

    ranges = [{"name": name, "low": 0, "high": 9} for name in ("DNA", "GFP")]
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps({"channels": ranges}))
    monkeypatch.setattr(study_module, "replacing_text", kill)
    with pytest.raises(KilledError):
        create_study(tmp_path / "study", image_paths, StudyOptions(measurement=measured))
    assert (tmp_path / "study" / "measure.json").read_bytes() == measured.read_bytes()
    assert not (tmp_path / "study" / "study.json").exists()


def test_a_study_of_before_has_one_patch_for_all_classes(study: Study) -> None:
    path, journal = study.folder / "study.json", study.journal_path
    content = json.loads(path.read_text())
    assert content.pop("has_one_patch") is False
    path.write_text(json.dumps({**content, "version": 1}))
    image = content["images"][0]["name"]
    said = (
        '{"name":"add_class","version":1,"class_name":"RBC","color":"#e69f00"}',
        '{"name":"add_class","version":1,"class_name":"platelet","color":"#56b4e9"}',
        '{"name":"add_prototypes","version":1,"class_name":"RBC",'
        '"patches":[{"id":"a1","image":"IMAGE","y":40,"x":40}],"patch_shape":[46.0,40.0]}',
        '{"name":"add_prototypes","version":1,"class_name":"platelet",'
        '"patches":[{"id":"b2","image":"IMAGE","y":30,"x":70.5}],"patch_shape":[46.0,40.0]}',
    )
    lines = [
        f'{{"seq":{n},"time":"2026-01-01T00:00:00.000+00:00","user":"ada","action":{action}}}\n'
        for n, action in enumerate(said, start=1)
    ]
    journal.write_text("".join(lines).replace("IMAGE", image))
    old = open_study(study.folder)
    curation = state(old)
    assert (curation.patch_shape, curation.has_one_patch) == ((46.0, 40.0), True)
    assert [(each.patch_shape, curation.shape_of(each)) for each in curation.classes] == [(None, (46.0, 40.0))] * 2
    assert [group.classes for group in study_groups(curation)] == [("RBC", "platelet")]
    with pytest.raises(CurationError, match="as the first prototype fixed for all classes"):
        apply(curation, AddPrototypes("platelet", (Patch.at(image, 40, 60),), (20.0, 20.0)))


def test_a_damaged_description_is_named(study: Study, tmp_path: Path) -> None:
    path = study.folder / "study.json"
    content = json.loads(path.read_text())
    for damaged in ("{", "[]", "{}", json.dumps({**content, "images": 3}), json.dumps({**content, "z": "min"})):
        path.write_text(damaged)
        with pytest.raises(StoreError, match=r"study\.json: expected the description of a study"):
            open_study(study.folder)
    path.write_text(json.dumps({**content, "version": 3}))
    with pytest.raises(StoreError, match="expected format 2 or older, got 3: update simsearch"):
        open_study(study.folder)
    with pytest.raises(StoreError, match="`simsearch study create` it"):
        open_study(tmp_path)


def test_images_are_described_unless_they_have_changed(tmp_path: Path, save_image: SaveImage) -> None:
    path = tmp_path / "a.ome.zarr"
    save_image(path, np.zeros((2, 60, 60), np.uint8))
    study = create_study(tmp_path / "study", [path], StudyOptions())
    assert [image.name for image in study_images(study)] == ["a"]
    assert study_images(study, []) == []
    shutil.rmtree(path)
    save_image(path, np.zeros((2, 60, 50), np.uint8))
    with pytest.raises(SourceError, match="as when the study was created"):
        study_images(study, ["a"])


# Importing


def test_an_import_is_one_action(study: Study, tmp_path: Path) -> None:
    report = import_annotations(study, table(tmp_path / "boxes.csv", *ROWS), user="ada")
    curation = state(study)

    assert report.n_added == {"prototype": 3, "positive": 2, "negative": 1, "background": 1}
    assert (report.n_known, report.new_classes) == (0, ("RBC", "WBC"))
    assert [each.name for each in curation.classes] == ["RBC", "WBC"]
    assert len({each.color for each in curation.classes}) == 2
    assert [each.is_accepted for each in curation.classes] == [True, False]
    assert curation.is_background_accepted
    assert curation.patch_shape == (48.0, 40.0)
    assert len(read_curation(study)[0].entries) == 1
    with open_curation(study) as journal:
        assert journal.undo("ada") == study.initial


def test_what_is_there_is_not_imported_again(study: Study, tmp_path: Path) -> None:
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS), user="ada")
    before = state(study)
    again = import_annotations(study, tmp_path / "boxes.csv", user="bob")
    more = import_annotations(
        study,
        table(tmp_path / "more.csv", *ROWS, "h,RBC,positive,50,50,48,40", "h,,background,90,90,48,40"),
        user="bob",
    )
    after = state(study)

    assert (again.n_added, again.n_known) == ({}, 7)
    assert (more.n_added, more.n_known) == ({"positive": 1, "background": 1}, 7)
    assert len(read_curation(study)[0].entries) == 2
    assert after.roi_class("RBC").positives[:2] == before.roi_class("RBC").positives
    assert after.background[:1] == before.background


WRONG = {
    "unknown image": ("z,RBC,prototype,50,50,48,40", "one of the images (a, b, c, ...), got 'z'"),
    "unknown class": (
        "a,PLT,positive,50,50,48,40",
        "one of the classes (RBC, WBC), got 'PLT': a prototype makes a class",
    ),
    "class without a name": ("a,,prototype,50,50,48,40", "name the class of all but background"),
    "outside": ("a,RBC,prototype,10,50,48,40", "inside the 130 x 200 px"),
    "centre outside": ("a,RBC,positive,50,200,48,40", "a centre inside the 130 x 200 px of the image"),
    "nan": ("a,RBC,prototype,nan,50,48,40", "column y: expected a number, got 'nan'"),
    "no size": ("a,RBC,prototype,50,50,48,0", "a height and width above 0"),
    "other shape": ("a,RBC,prototype,90,50,48,41", "expected a patch of 48 x 40 px, as the first prototype fixed"),
    "no number": ("a,RBC,prototype,here,50,48,40", "column y: expected a number, got 'here'"),
    "no role": ("a,RBC,friend,50,50,48,40", "a role out of"),
    "twice": ("a,RBC,prototype,50,50.125,48,40", "got the same in row 2: remove one"),
    "opposite": ("a,RBC,negative,52,52,48,40", "got one where row 2 has a prototype of RBC"),
    "background on an object": ("a,,background,61,149,48,40", "got one where row 4 has a prototype of WBC"),
    "object on background": ("a,WBC,positive,111,111,48,40", "got one where row 8 has a background"),
    "odd name": ("a,R\x07BC,prototype,50,50,48,40", "choose printable characters"),
}


def test_all_wrong_rows_are_listed_and_nothing_is_imported(study: Study, tmp_path: Path) -> None:
    path = table(tmp_path / "boxes.csv", *ROWS, *(row for row, _ in WRONG.values()))
    with pytest.raises(AnnotationError) as caught:
        import_annotations(study, path, user="ada")
    first, *lines = str(caught.value).splitlines()

    assert first.endswith(f"got {len(WRONG)} of {len(ROWS) + len(WRONG)} that do not; nothing was imported:")
    assert [line.partition(":")[0] for line in lines] == [f"  row {i + 2 + len(ROWS)}" for i in range(len(WRONG))]
    for line, (_, message) in zip(lines, WRONG.values(), strict=True):
        assert message in line
    assert state(study) == study.initial
    assert study.journal_path.read_bytes() == b""


def test_what_was_accepted_in_bulk_gives_way_to_what_is_confirmed(study: Study, tmp_path: Path) -> None:
    accepted, more = "b,RBC,positive,60,60,48,40", ("b,WBC,confirmed,61,61,48,40", "h,RBC,positive,50,50,48,40")
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS, accepted), user="ada")
    import_annotations(study, table(tmp_path / "more.csv", *more), user="ada")
    places = [(each.image, each.y, each.x) for each in state(study).roi_class("RBC").positives]
    assert ("h", 50, 50) in places
    assert ("b", 60, 60) not in places
    assert len(state(study).roi_class("WBC").confirmed) == 1


@pytest.mark.parametrize("role", ["prototype", "confirmed", "positive"])
def test_positives_of_a_study_are_of_the_class_that_a_file_says_and_that_is_told(
    study: Study, tmp_path: Path, role: str
) -> None:
    accepted = "b,RBC,positive,60,60,48,40", "h,RBC,positive,50,50,48,40"
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS, *accepted), user="ada")
    report = import_annotations(study, table(tmp_path / "more.csv", f"b,WBC,{role},61,61,48,40"), user="ada")
    places = [(each.image, each.y, each.x) for each in state(study).roi_class("RBC").positives]
    assert ("h", 50, 50) in places
    assert ("b", 60, 60) not in places
    assert report.notes == (
        "1 positive of RBC no longer: there the file has another class, and a place belongs to one; the first is y 60 "
        "x 60 in b",
    )


@pytest.mark.parametrize("role", ["prototype", "positive"])
def test_a_file_that_has_two_classes_at_a_place_is_refused(study: Study, tmp_path: Path, role: str) -> None:
    rows = "b,RBC,positive,60,60,48,40", f"b,WBC,{role},61,61,48,40"
    for here in (rows, rows[::-1]):
        with pytest.raises(AnnotationError, match="got one where row 9 has a"):
            import_annotations(study, table(tmp_path / "boxes.csv", *ROWS, *here), user="ada")
    assert state(study) == study.initial


@pytest.mark.parametrize("role", ["prototype", "positive"])
@pytest.mark.parametrize("is_later", [False, True])
def test_what_is_confirmed_of_one_class_is_not_imported_of_another(
    study: Study, tmp_path: Path, role: str, *, is_later: bool
) -> None:
    said, other = "b,RBC,confirmed,60,60,48,40", f"b,WBC,{role},61,61,48,40"
    rows = [said, other] if is_later else [other, said]
    with pytest.raises(AnnotationError, match="got one where row 9 has a"):
        import_annotations(study, table(tmp_path / "boxes.csv", *ROWS, *rows), user="ada")
    assert state(study) == study.initial


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,RBC,negative,50,50,48,40"], "row 2: .*one where the study has a prototype of RBC"),
        (["a,RBC,prototype,100,100,48,40"], "row 2: .*one where the study has a negative of RBC"),
        (["a,,background,100,151,48,40"], "row 2: .*the study has a flag that it is none"),
        (["a,RBC,prototype,60,60,40,40"], "row 2: expected a patch of 48 x 40 px"),
    ],
)
def test_rows_are_checked_against_the_study(study: Study, tmp_path: Path, rows: list[str], message: str) -> None:
    import_annotations(study, table(tmp_path / "boxes.csv", "a,RBC,prototype,50,50,48,40"), user="ada")
    with open_curation(study) as journal:
        journal.append("ada", FlagNegatives("RBC", (Patch.at("a", 100, 100),)))
        journal.append("ada", FlagNotBackground((Patch.at("a", 100, 150),)))
    before = state(study)
    with pytest.raises(AnnotationError, match=message):
        import_annotations(study, table(tmp_path / "more.csv", *rows), user="ada")
    assert state(study) == before


def test_boxes_of_other_sizes_are_fitted_on_demand(study: Study, tmp_path: Path) -> None:
    path = table(tmp_path / "boxes.csv", *ROWS[:2], "a,RBC,prototype,90,90,30,90.5")
    with pytest.raises(AnnotationError, match=r"row 4: .*add --fit to take its centre only"):
        import_annotations(study, path, user="ada")
    assert import_annotations(study, path, user="ada", options=ImportOptions(fit=True)).n_added == {"prototype": 3}
    assert state(study).patch_shape == (48.0, 40.0)


def test_marks_without_any_prototype_are_refused(study: Study, tmp_path: Path) -> None:
    path = table(tmp_path / "boxes.csv", *ROWS[5:], "a,RBC,negative,x,1,1,1")
    with pytest.raises(
        AnnotationError, match=r"fixes the shape of patches, got none.*: row 4: column y: expected a number"
    ):
        import_annotations(study, path, user="ada")


def test_a_wrong_header_and_other_files_are_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="add role"):
        import_annotations(
            study, table(tmp_path / "a.csv", "a,RBC,1,2,3,4", header="image,class,y,x,height,width"), user="a"
        )
    with pytest.raises(SourceError, match="check the path"):
        import_annotations(study, tmp_path / "boxes.xlsx", user="ada")
    for options in (ImportOptions(image="a"), ImportOptions(class_name="RBC")):
        with pytest.raises(ConfigError, match="got a table: leave them out"):
            import_annotations(study, tmp_path / "a.csv", user="ada", options=options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"files that end in \.geojson, .*, got none"):
        import_annotations(study, tmp_path / "empty", user="ada")


def test_an_import_waits_for_nobody(study: Study, tmp_path: Path) -> None:
    path = table(tmp_path / "boxes.csv", *ROWS)
    with open_curation(study), pytest.raises(StoreError, match="close that first"):
        import_annotations(study, path, user="ada")


def test_a_torn_line_is_reported(study: Study, tmp_path: Path) -> None:
    study.journal_path.write_bytes(b'{"seq":1,')
    report = import_annotations(study, table(tmp_path / "boxes.csv", *ROWS), user="ada")
    assert "line 1" in str(report.torn)


# There and back


@pytest.mark.parametrize("name", ["out.csv", "out"])
def test_what_is_exported_comes_back(study: Study, tmp_path: Path, image_paths: Sequence[str], name: str) -> None:
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS), user="ada")
    n_patches, n_files = export_annotations(study, tmp_path / name)
    other = create_study(tmp_path / "other", image_paths, StudyOptions())
    import_annotations(other, tmp_path / name, user="bob")

    assert (n_patches, n_files) == (7, 1 if name == "out.csv" else 2)
    assert said(other) == said(study)
    assert [(each.name, each.is_accepted) for each in state(other).classes] == [("RBC", True), ("WBC", False)]
    assert state(other).patch_shape == state(study).patch_shape


def test_a_table_comes_back_as_it_was(study: Study, tmp_path: Path) -> None:
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS), user="ada")
    export_annotations(study, tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert written[0] == HEADER
    assert sorted(written[1:]) == sorted(row.replace(",,", ",background,") for row in ROWS)


def test_colors_go_through_qupath(study: Study, tmp_path: Path, image_paths: Sequence[str]) -> None:
    with open_curation(study) as journal:
        journal.append("ada", AddClass("RBC", "#123456"))
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS[:2]), user="ada")
    export_annotations(study, tmp_path / "out")
    other = create_study(tmp_path / "other", image_paths, StudyOptions())
    import_annotations(other, tmp_path / "out", user="bob")
    assert state(other).classes[0].color == "#123456"


def test_what_is_there_is_replaced_on_demand_only(study: Study, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="nothing was marked yet"):
        export_annotations(study, tmp_path / "out")
    import_annotations(study, table(tmp_path / "boxes.csv", *ROWS), user="ada")
    for name in ("out.csv", "out"):
        export_annotations(study, tmp_path / name)
        with pytest.raises(StoreError, match="add --overwrite"):
            export_annotations(study, tmp_path / name)
    with pytest.raises(ConfigError, match="a folder for GeoJSON"):
        export_annotations(study, tmp_path / "out.geojson")
    with open_curation(study) as journal:
        journal.undo("ada")
    import_annotations(study, table(tmp_path / "boxes.csv", ROWS[0]), user="ada")
    assert export_annotations(study, tmp_path / "out", overwrite=True) == (1, 2)
    assert json.loads((tmp_path / "out/b.geojson").read_text())["features"] == []


def test_fields_of_plates_have_files_of_their_own(study: Study, tmp_path: Path) -> None:
    plate = replace(study, images=(replace(study.images[0], name="P/A/01/0"), *study.images[1:]), displayed=("b",))
    path = table(tmp_path / "boxes.csv", "P/A/01/0,RBC,prototype,50,50,48,40")
    import_annotations(plate, path, user="ada")
    export_annotations(plate, tmp_path / "out")
    assert [file.relative_to(tmp_path).as_posix() for file in (tmp_path / "out").rglob("*.*")] == [
        "out/P/A/01/0.geojson"
    ]
    assert import_annotations(plate, tmp_path / "out", user="ada").n_known == 1


def test_a_folder_of_qupath_names_images_by_files(study: Study, tmp_path: Path) -> None:
    ring = [[10, 20], [50, 20], [50, 68], [10, 68], [10, 20]]
    drawn: dict[str, Any] = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "RBC", "color": [1, 2, 3]}},
    }
    (tmp_path / "out").mkdir()
    for name in ("a", "b", "z"):
        (tmp_path / f"out/{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [drawn]}))
    with pytest.raises(
        AnnotationError, match=r"out, z\.geojson, feature 1: expected .*\(a, b, c, \.\.\.\), got 'z.geojson': .*--image"
    ):
        import_annotations(study, tmp_path / "out", user="ada")
    (tmp_path / "out/z.geojson").unlink()
    import_annotations(study, tmp_path / "out", user="ada")
    assert said(study) == {("RBC", "prototype", each, 43.5, 29.5): 1 for each in "ab"}
    assert import_annotations(
        study, tmp_path / "out/a.geojson", user="ada", options=ImportOptions(image="c")
    ).n_added == {"prototype": 1}


# Commands


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["study", *map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_the_commands_go_through_a_study(tmp_path: Path, image_paths: Sequence[str]) -> None:
    folder = tmp_path / "study"
    code, text = run("create", folder, "--images", *image_paths, "--channels", "GFP", "--display", "2", "--seed", "3")
    assert code == 0
    assert "images     8, displayed: " in text
    assert "channels   GFP (of DNA, GFP)" in text
    assert "the first prototype of each class fixes its shape" in text

    code, text = run("import", folder, table(tmp_path / "boxes.csv", *ROWS), "--user", "ada")
    assert (code, text) == (
        0,
        "Imported: 3 prototypes, 2 positives, 1 negative, 1 background; there before: 0\n"
        "  RBC: 2 prototypes, 2 positives, 1 negative (new class)\n  WBC: 1 prototype (new class)\n",
    )
    with open_curation(open_study(folder)) as journal:
        journal.append("bob", SetSimilarityThreshold("WBC", 0.625))
    code, text = run("show", folder)
    assert code == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "■" in line]
    assert rows == [["■ RBC", "2", "2", "0", "1", "-", "yes"], ["■ WBC", "1", "0", "0", "0", "0.625", "no"]]
    assert "48 x 40 px" in text
    assert "1 patch, accepted; 0 flagged as none" in text
    assert "#2 of bob (set the similarity threshold of WBC to 0.625)" in text

    assert run("export", folder, tmp_path / "out.csv")[0] == 0
    code, text = run("export", folder, tmp_path / "out")
    assert (code, text.partition(": ")[2].partition(" in ")) == (0, ("7 patches", " in ", f"2 files: {tmp_path}/out\n"))
    assert run("export", folder, tmp_path / "out", "--overwrite")[0] == 0


def test_commands_say_what_is_wrong_in_one_line(tmp_path: Path, study: Study, image_paths: Sequence[str]) -> None:
    cases = [
        (("show", tmp_path), "`simsearch study create` it"),
        (("create", study.folder, "--images", image_paths[0]), "a folder without a study"),
        (("create", tmp_path / "new", "--images", tmp_path), "expected an OME-Zarr"),
        (("create", tmp_path / "new", "--images", image_paths[0], "--display", "x,y"), "got 'x'"),
        (("import", study.folder, table(tmp_path / "boxes.csv", "a,RBC,negative,1,1,48,48")), "draw a box"),
        (("export", study.folder, tmp_path / "out.csv"), "nothing was marked yet"),
    ]
    for arguments, message in cases:
        code, text = run(*arguments)
        assert code == 2
        assert text.startswith("Error: ")
        assert message in text
    assert run("create", tmp_path / "new", "--images", image_paths[0], "--z", "-1")[0] == 2


def test_show_tells_of_a_torn_line(study: Study) -> None:
    study.journal_path.write_bytes(b"{")
    assert "Note: the action in line 1 was being written" in run("show", study.folder)[1]


def test_what_was_accepted_by_hand_is_exported(study: Study, tmp_path: Path) -> None:
    import_annotations(study, table(tmp_path / "boxes.csv", ROWS[0]), user="ada")
    with open_curation(study) as journal:
        journal.append("ada", AcceptClass("RBC", (Patch.at("h", 12.3456, 7),)))
    export_annotations(study, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[2] == "h,RBC,positive,12.346,7,48,40"
