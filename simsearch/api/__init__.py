"""What `import simsearch` offers: the commands as functions, and images, plates and clusters to go with them."""

from simsearch.api import study as study
from simsearch.api.find import convert as convert
from simsearch.api.find import measure as measure
from simsearch.api.find import search as search
from simsearch.api.learn import demo as demo
from simsearch.api.learn import evaluate as evaluate
from simsearch.api.learn import pretrain as pretrain
from simsearch.api.learn import train as train
from simsearch.api.run import detect as detect
from simsearch.api.run import rethreshold as rethreshold
from simsearch.api.run import segment as segment
from simsearch.errors import SimSearchError as SimSearchError
from simsearch.io import find_images as find_images
from simsearch.io import open_image as open_image
from simsearch.io import open_plate as open_plate
from simsearch.runtime import open_cluster as open_cluster

__all__ = [
    "SimSearchError",
    "convert",
    "demo",
    "detect",
    "evaluate",
    "find_images",
    "measure",
    "open_cluster",
    "open_image",
    "open_plate",
    "pretrain",
    "rethreshold",
    "search",
    "segment",
    "study",
    "train",
]
