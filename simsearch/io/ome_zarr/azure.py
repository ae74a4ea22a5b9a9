"""Azure's store, which reads no bytes counted from the end of a blob, where shards have their index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import WrapperStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

SCHEMES = ("abfs", "abfss", "az")
"""Of URLs of such stores."""


class AzureStore(WrapperStore["Store"]):
    """A store that asks for the size of a blob before it reads its end."""

    def _with_store(self, store: Store) -> AzureStore:
        return AzureStore(store)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read a blob, or a part of it."""
        if isinstance(byte_range, SuffixByteRequest):
            try:
                size = await self._store.getsize(key)
            except FileNotFoundError:
                return None
            byte_range = RangeByteRequest(max(0, size - byte_range.suffix), size)
        return await self._store.get(key, prototype, byte_range)
