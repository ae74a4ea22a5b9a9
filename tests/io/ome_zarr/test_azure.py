"""What a store cannot do that reads no bytes counted from the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from zarr.abc.store import SuffixByteRequest
from zarr.storage import MemoryStore, WrapperStore

from simsearch.io.ome_zarr.azure import AzureStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype


class Blobs(WrapperStore["Store"]):
    """Refuses what Azure refuses."""

    def _with_store(self, store: Store) -> Blobs:
        return Blobs(store)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read a blob."""
        if isinstance(byte_range, SuffixByteRequest):
            raise TypeError("got a part that is counted from the end")
        return await self._store.get(key, prototype, byte_range)


def test_shards_are_read_of_a_store_that_counts_from_the_beginning_only() -> None:
    blobs, pixels = Blobs(MemoryStore()), np.arange(64, dtype=np.uint16).reshape(8, 8)
    array = zarr.create_array(blobs, name="0", shape=(8, 8), dtype="uint16", chunks=(2, 2), shards=(4, 4))
    array[:4] = pixels[:4]
    with pytest.raises(TypeError, match="counted from the end"):
        zarr.open_array(blobs, path="0", mode="r")[:2, :2]
    found = zarr.open_array(AzureStore(blobs), path="0", mode="r")
    assert np.array_equal(found[:2, :2], pixels[:2, :2])
    assert not found[4:, 4:].any()  # a shard that was never written
