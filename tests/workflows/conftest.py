"""Studies of synthetic cells, whose places are known."""

from __future__ import annotations

import math
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from simsearch.core.synthetic import CYTOPLASM, NUCLEUS, cell_field
from simsearch.io.tables.truth import TrueObject
from simsearch.runtime import compute, open_cluster
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.curate.simulated_user import Behaviour, simulate_curation
from simsearch.workflows.curate.study import Study, StudyOptions, create_study, open_study, read_curation
from simsearch.workflows.learn import train
from simsearch.workflows.learn.train import TrainOptions, TrainReport, train_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client

    from tests.conftest import SaveImage

SIDE = 176
TINY = TrainingConfig(
    noisy=Schedule(1, 8, decay_every=5, decay=0.1, rate=3e-4),
    clean=Schedule(2, 16, decay_every=10, decay=0.1, rate=3e-4, n_patches=16),
    classifier=Schedule(12, 16, decay_every=8, decay=0.1, rate=1e-2, n_patches=24),
    averaging=0.8,
)


@dataclass(frozen=True)
class Cells:
    """Images of cells with GFP in their cytoplasm or nucleus."""

    paths: tuple[str, ...]
    """Of the images a to f, which studies refer to; a to d are displayed."""
    unseen: tuple[str, ...]
    """Of the images g to i, which no study knows."""
    truth: tuple[TrueObject, ...]
    """All cells of all images."""

    def in_images(self, names: str, *, margin: float = 0.0) -> list[TrueObject]:
        """List the cells of some images that keep a distance from the border."""
        low, high = margin, SIDE - 1 - margin
        return [o for o in self.truth if o.image in names and low <= o.y <= high and low <= o.x <= high]

    def alone(self, names: str) -> list[TrueObject]:
        """List the cells whose patches lie in the image and have no other cell near."""
        return [
            o
            for o in self.in_images(names, margin=20)
            if all(other is o or other.image != o.image or math.hypot(other.y - o.y, other.x - o.x) > 30
                   for other in self.truth)
        ]  # fmt: skip


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage) -> Cells:
    folder, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    truth: list[TrueObject] = []
    paths = []
    for name in "abcdefghi":
        field = cell_field(rng, (SIDE, SIDE), n_cells=10, no_gfp_fraction=0)
        truth += [TrueObject(name, cell.class_name, cell.y, cell.x) for cell in field.cells]
        image = save_image(
            folder / f"{name}.ome.zarr",
            field.image,
            channel_names=("GFP", "DNA"),
            channel_colors=("00FF00", "0000FF"),
            pixel_size_um=(0.5, 0.5),
            chunk=256,
        )
        paths.append(image.path)
    return Cells(tuple(paths[:6]), tuple(paths[6:]), tuple(truth))


@pytest.fixture(scope="session")
def one_process() -> Iterator[Client]:
    """Start a cluster of one process, whose threads do not wait busily: beside others, that would take very long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        with open_cluster("local:1") as client:
            yield client


@pytest.fixture(scope="session")
def behaviour() -> Behaviour:
    return Behaviour((CYTOPLASM, NUCLEUS), (40.0, 40.0), n_prototypes=2, n_negatives=2, n_background=2)


@pytest.fixture(scope="session")
def curated(client: Client, cells: Cells, behaviour: Behaviour, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Let a simulated person curate a study. Not to be changed: copy it."""
    study = create_study(tmp_path_factory.mktemp("curated") / "study", cells.paths, StudyOptions(display=tuple("abcd")))
    simulate_curation(client, study, cells.truth, behaviour)
    return study


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Study], Study]:
    """Copy a study, all that was computed for it included."""
    copies = 0

    def copy(study: Study) -> Study:
        nonlocal copies
        copies += 1
        return open_study(shutil.copytree(study.folder, tmp_path / f"study{copies}"))

    return copy


@contextmanager
def brief() -> Iterator[None]:
    """Train for seconds, with one thread: two that wait for each other are slow on a busy machine."""
    n_threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "BRIEF", TINY)
        patch.setattr(compute, "CPU_COUNT", 1)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def tiny_training() -> Iterator[None]:
    """Let all trainings of a test be short."""
    with brief():
        yield


@pytest.fixture(scope="session")
def trained(client: Client, curated: Study) -> TrainReport:
    """Train a model in the curated study."""
    with brief():
        return train_study(client, curated, read_curation(curated)[0].state, TrainOptions(n_background=2))
