"""What can go wrong for reasons that a user can mend.

::

    SimSearchError
    ├── ShapeError(ValueError)      an array or a patch has the wrong shape
    ├── ConfigError(ValueError)     options that contradict each other or do not exist
    ├── SourceError(OSError)        an input file cannot be read
    ├── StoreError(OSError)         a destination cannot be written, or is not what it should be
    ├── AnnotationError(ValueError) boxes, plate maps and other tables of the user are wrong
    ├── CurationError(ValueError)   an action does not apply to a curation
    ├── TrunkError(ValueError)      a trunk file has wrong parameters, or cannot be had
    ├── ModelFileError(ValueError)  a model file is damaged, or does not fit an image
    ├── ClusterError(RuntimeError)  a cluster cannot be reached
    ├── TaskError(RuntimeError)     a task failed on a worker
    └── Cancelled(RuntimeError)     somebody has asked to stop

Each also is the builtin that it stands in for. A message says what was expected, what was got and the way out,
and names the file, well or tile. All take one message, so that they survive the way from a worker to the client.
"""

from __future__ import annotations


class SimSearchError(Exception):
    """Base of all errors that a user can mend."""


class ShapeError(SimSearchError, ValueError):
    """An array or a patch has the wrong shape."""


class ConfigError(SimSearchError, ValueError):
    """Options contradict each other or do not exist."""


class SourceError(SimSearchError, OSError):
    """An input file cannot be read."""


class StoreError(SimSearchError, OSError):
    """A destination cannot be written, or what is stored is not what it should be."""


class OtherRunError(StoreError):
    """A folder holds results of another run."""


class AnnotationError(SimSearchError, ValueError):
    """Boxes, plate maps or another table of the user are wrong."""


class CurationError(SimSearchError, ValueError):
    """An action does not apply to a curation."""


class TrunkError(SimSearchError, ValueError):
    """A trunk file has wrong parameters, or cannot be had."""


class ModelFileError(SimSearchError, ValueError):
    """A model file is damaged, or does not fit an image."""


class ClusterError(SimSearchError, RuntimeError):
    """A cluster cannot be reached."""


class TaskError(SimSearchError, RuntimeError):
    """A task failed on a worker."""


class Cancelled(SimSearchError, RuntimeError):
    """Somebody has asked to stop; what is done is kept."""
