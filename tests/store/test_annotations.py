"""What others have drawn is read from stores and servers as from this machine."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from simsearch.errors import SourceError
from simsearch.io.annotations.formats import Target, read_regions
from simsearch.io.places import input_place
from simsearch.workflows.convert.pipeline import convert
from simsearch.workflows.convert.plan import ConvertOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

    from simsearch.io.annotations.ndpa import SlideFrame
    from simsearch.io.places import ObjectPath

XML = """<Annotations xmlns:xlink="http://www.w3.org/1999/xlink"><Annotation Name="cell"><Regions><Region Type="1">
<Vertices><Vertex X="3" Y="4"/><Vertex X="13" Y="24"/></Vertices></Region></Regions></Annotation></Annotations>"""
GEOJSON = """{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"objectType": "annotation",
"classification": {"name": "cell"}}, "geometry": {"type": "Point", "coordinates": [5, 6]}}]}"""
FILES = ("a.xml", "a.geojson", "a.tif", "a.png")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, labels = tmp_path_factory.mktemp("drawn"), np.zeros((40, 30), np.uint8)
    labels[3:9, 4:8], labels[20:30, 10:20] = 1, 2
    (folder / "a.xml").write_text(XML)
    (folder / "a.geojson").write_text(GEOJSON)
    tifffile.imwrite(folder / "a.tif", labels)
    Image.fromarray(labels).save(folder / "a.png")
    return folder


@pytest.fixture(scope="module")
def url(drawn: Path) -> Iterator[str]:
    """Serve the files as web pages."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(drawn))) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_address[1]}"
        pages.shutdown()


def read(path: Path) -> object:
    def frame() -> SlideFrame:
        raise AssertionError("NDPA alone needs it")

    return read_regions(path, Target(lambda: (40, 30), frame))


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_a_store_or_at_a_server_is_the_same(drawn: Path, url: str, bucket: ObjectPath, name: str) -> None:
    (bucket / name).write_bytes((drawn / name).read_bytes())
    expected = read(drawn / name)
    assert expected
    assert read(input_place(f"{bucket}/{name}")) == expected
    assert read(input_place(f"{url}/{name}")) == expected


def test_labels_in_a_store_are_the_same(client: Client, drawn: Path, bucket: ObjectPath) -> None:
    target = bucket / "labels.ome.zarr"
    convert(client, [drawn / "a.tif"], target, ConvertOptions())
    assert read(input_place(str(target))) == read(drawn / "a.tif")


def test_a_file_that_is_not_there_is_told(url: str, bucket: ObjectPath) -> None:
    for place in (url, bucket):
        with pytest.raises(SourceError, match=r"/none.csv: expected a CSV, .* check the path"):
            read(input_place(f"{place}/none.csv"))
