"""What goes wrong with an object store is one line with the way out; what may pass is tried again."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet
import pytest
import s3fs
from click.testing import CliRunner

from simsearch.cli import main
from simsearch.errors import ConfigError, StoreError
from simsearch.io.ome_zarr.writing import ImageTemplate, create_image
from simsearch.io.places import ObjectPath, input_place, output_place, replacing
from simsearch.io.tables.peaks import PEAK_SCHEMA
from simsearch.io.tables.records.appended import open_appended
from simsearch.io.tables.records.replacing import replacing_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def setting(environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test set what the client of the store reads, which tries once unless told otherwise."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()


def line_of(tmp_path: Path, out: str) -> str:
    """Evaluate into a place, and return the one line of the error."""
    row = {"image": "a", "class": "p", "y": 1.0, "x": 1.0, "height": 8.0, "width": 8.0, "similarity": 0.5}
    pyarrow.parquet.write_table(pa.Table.from_pylist([row], schema=PEAK_SCHEMA), tmp_path / "peaks.parquet")
    (tmp_path / "truth.csv").write_text("image,class,y,x\na,p,1,1\n")
    words = ["evaluate", str(tmp_path / "peaks.parquet"), "--truth", str(tmp_path / "truth.csv"), "--out", out]
    result = CliRunner(catch_exceptions=False).invoke(main, words)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    return line


def test_a_bucket_that_is_not_there(setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = line_of(tmp_path, "s3://no-such-bucket/scores")
    assert "expected to write, got The specified bucket does not exist: make the bucket, or correct its name" in line


def test_no_credentials(setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting.delenv("AWS_ACCESS_KEY_ID")
    line = line_of(tmp_path, "s3://bucket/scores")
    assert "got Unable to locate credentials: check the credentials" in line


def test_a_wrong_address(setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    line = line_of(tmp_path, "s3://bucket/scores")
    assert "got Could not connect to the endpoint URL" in line
    assert "check the network, and the address of the store (AWS_ENDPOINT_URL)" in line
    template = ImageTemplate(1, (8, 8), "uint8", ("c0",), ("FFFFFF",))
    with pytest.raises(StoreError, match=r"^s3://bucket/a\.ome\.zarr: expected to write, got Could not connect"):
        create_image("s3://bucket/a.ome.zarr", template)
    with pytest.raises(StoreError, match=r"expected an answer of the store, got Could not connect"):
        output_place("s3://bucket/found").exists()


@contextmanager
def busy_server(n_refused: int) -> Iterator[tuple[str, list[str]]]:
    """Serve a store that has too much to do at first; yield its URL and the requests it got."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which answers whom expects a 100

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(self.path)
            body = b""
            if len(requests) <= n_refused:
                body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self.send_response(503 if body else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


def test_a_store_that_has_too_much_to_do_is_asked_again(setting: pytest.MonkeyPatch) -> None:
    with busy_server(3) as (url, requests):
        setting.setenv("AWS_ENDPOINT_URL", url)
        output_place("s3://bucket/a").write_bytes(b"content")
        assert len(requests) == 4


def test_a_store_that_goes_on_having_too_much_to_do(setting: pytest.MonkeyPatch) -> None:
    with busy_server(100) as (url, requests):
        setting.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(StoreError, match=r"Please reduce your request rate\.: wait until the store has less to do"):
            output_place("s3://bucket/a").write_bytes(b"content")
        assert 3 < len(requests) < 20


def test_what_is_not_complete_is_not_written(bucket: ObjectPath) -> None:
    with suppress(RuntimeError), replacing_text(input_place(f"{bucket}/a.csv")) as file:
        file.write("half")
        raise RuntimeError
    with suppress(RuntimeError), replacing(input_place(f"{bucket}/b.png")) as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert list(bucket.iterdir()) == []


def test_lines_are_appended_as_parts_and_read_back(bucket: ObjectPath) -> None:
    place = input_place(f"{bucket}/log.jsonl")
    for n in range(3):
        log = open_appended(place)
        assert [line for _, line in log.lines()] == [b"%d\n" % i for i in range(n)]
        log.append(b"%d" % n)
        log.close()
    assert [path.name for path in sorted(place.iterdir())] == [f"{n:08d}.jsonl" for n in (1, 2, 3)]
    log = open_appended(place)
    log.clear()
    log.close()
    assert not place.exists()


def test_a_url_of_another_kind_is_refused() -> None:
    for url in ("https://server/x", "memory://x", "ftp://server/x"):
        with pytest.raises(ConfigError, match=r"expected a path or a URL with s3://"):
            output_place(url)


def test_no_library_takes_a_url_for_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match="expected a file on this machine, got s3://bucket/x"):
        open(output_place("s3://bucket/x"), "w")  # noqa: PTH123, SIM115  what a library does
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_its_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a package for this kind of store, got none: .*gcsfs"):
        output_place("gs://bucket/x").exists()
