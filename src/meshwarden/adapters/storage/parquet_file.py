"""One Parquet file of calls, written batch by batch; it appears whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from meshwarden.kernel import CALL_SCHEMA, ConfigError, DependencyError

_GROUP_ROWS = 131_072


class ParquetFile:
    """A file being written next to where it will be.

    Args:
        path: replaced at `commit`.

    Raises:
        ConfigError: `calls.output` where nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._held: list[pa.RecordBatch] = []
        try:
            self._writer = pq.ParquetWriter(self._temporary, CALL_SCHEMA, compression="zstd")
        except OSError as error:
            raise ConfigError("calls.output", f"{path} cannot be written: {error}") from error

    def write(self, batch: pa.RecordBatch) -> None:
        """Append `batch`; DependencyError `calls.disk` where the disk refuses."""
        self._held.append(batch)
        if sum(held.num_rows for held in self._held) >= _GROUP_ROWS:
            self._flush()

    def commit(self) -> None:
        """Finish the file and put it in its place; DependencyError `calls.disk`."""
        self._flush()
        try:
            self._writer.close()
            self._temporary.replace(self._path)
        except OSError as error:
            raise self._failed(error) from error

    def abandon(self) -> None:
        """Leave nothing behind."""
        try:
            self._writer.close()
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.Table.from_batches(self._held, CALL_SCHEMA).unify_dictionaries()
        self._held = []
        try:
            self._writer.write_table(table, row_group_size=_GROUP_ROWS)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> DependencyError:
        return DependencyError(
            "calls.disk", f"{self._path} cannot be written: {error}", hint="free space"
        )
