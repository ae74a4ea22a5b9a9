"""``simsearch`` with trainings of seconds: what a model has learned is not what a browser is tested for."""

from simsearch.cli import main
from simsearch.training.recipe import Schedule, TrainingConfig
from simsearch.workflows.learn import train

BRIEFLY = TrainingConfig(
    noisy=Schedule(1, 8, decay_every=5, decay=0.1),
    clean=Schedule(2, 16, decay_every=10, decay=0.1, n_patches=32),
    classifier=Schedule(12, 32, decay_every=10, decay=0.1, n_patches=128),
)

if __name__ == "__main__":
    train.BRIEF = BRIEFLY
    main(prog_name="simsearch")
