"""Telemetry from the counts that workers of this host keep in their replica folders."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from knowngood.adapters.folder import health
from knowngood.ports.telemetry import HealthSample
from knowngood_sdk.errors import InvalidError, PermanentError
from knowngood_sdk.model.manifest import check_name
from knowngood_sdk.model.wire import CountsReport
from knowngood_sdk.serving.disk import read_json
from knowngood_sdk.serving.folder import check_format

__all__ = ["FolderTelemetry"]


class FolderTelemetry:
    """
    What the workers below a working folder count, and whether endpoints answer.

    Args:
        directory: The working folder (KNOWNGOOD_DIR).

    Raises:
        InvalidError: A newer version of this program made it.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).absolute()
        check_format(self._directory)

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """See the port."""
        replicas = self._directory / "systems" / check_name(system, "system") / "replicas"
        found: dict[str, CountsReport] = {}
        for replica in sorted(path.parent for path in replicas.glob("*/counts")):
            workers = {path.stem: _read(path) for path in sorted(replica.glob("counts/*.json"))}
            # Afterwards: a worker whose file was removed meanwhile is in it, and one that is in both counts once.
            departed = _read(replica / "departed.json")
            held = departed.holds if departed is not None else ()
            reports = (*(report for name, report in workers.items() if name not in held), departed)
            found.update({report.worker: report for report in reports if report is not None})
        return found

    def health(self, url: str, timeout: timedelta) -> HealthSample:
        """See the port."""
        return health.ask(url, timeout)


def _read(path: Path) -> CountsReport | None:
    try:
        document = read_json(path)
        return None if document is None else CountsReport.from_json(document)
    except InvalidError as error:
        raise PermanentError(
            f"the counts in {path} cannot be read: {error}",
            hint="Remove the file to go on without what that worker counted",
        ) from error
