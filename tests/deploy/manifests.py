"""The files of ``deploy/kubernetes``, read for the tests."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import yaml
from aiohttp import web

from streamer.server import Server
from streamer.status import StatusSource

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
DIRECTORIES: Final = sorted(path.parent for path in KUBERNETES.glob("*/kustomization.yaml"))
IMAGE_ENVIRON: Final = {"STREAMER_DEFAULT_SERVER_HOST": "::"}
"""What `tests/test_containers.py` finds in the image."""

Resource = Mapping[str, Any]


def read(path: Path) -> Any:
    """The one document of a YAML file."""
    return yaml.safe_load(path.read_text("utf-8"))


def generated(directory: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of each configuration that a kustomization makes a ConfigMap of."""
    for generator in read(directory / "kustomization.yaml").get("configMapGenerator", ()):
        for file in generator["files"]:
            key, _, name = file.rpartition("=")
            assert (key or name) == "streamer.yaml", "the pods mount it under this name"
            yield generator["name"], directory / name


def resource_files() -> list[Path]:
    """Every file that is a resource of Kubernetes by itself."""
    return [
        directory / name
        for directory in DIRECTORIES
        for name in read(directory / "kustomization.yaml")["resources"]
        if not name.startswith("../")
    ]


RESOURCES: Final[Mapping[str, Resource]] = {str(path.relative_to(KUBERNETES)): read(path) for path in resource_files()}
"""By path below ``deploy/kubernetes``."""


def of_kind(*kinds: str) -> list[Resource]:
    """The resources of these kinds."""
    return [resource for resource in RESOURCES.values() if resource["kind"] in kinds]


WORKLOADS: Final = of_kind("StatefulSet", "Deployment")


def name_of(resource: Resource) -> str:
    """Its name, for ids of tests."""
    return str(resource["metadata"]["name"])


def pod_of(workload: Resource) -> Any:
    """The specification of its pods."""
    return workload["spec"]["template"]["spec"]


def container_of(workload: Resource) -> Any:
    """The one container of its pods."""
    [container] = pod_of(workload)["containers"]
    return container


def selected_by(labels: Mapping[str, str]) -> list[Resource]:
    """The workloads whose pods have these labels."""
    return [
        workload
        for workload in WORKLOADS
        if labels.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    ]


def configurations() -> list[tuple[str, Path]]:
    """The configurations of all workloads, those of the example included: name of the ConfigMap, and file."""
    return [entry for directory in DIRECTORIES for entry in generated(directory)]


def routes() -> set[str]:
    """The paths that streamer's server answers."""

    class Nowhere:
        host, port = "127.0.0.1", 0

    class Nothing:
        def __getattr__(self, name: str) -> Any:
            return lambda: None

    application: web.Application = Server(Nowhere(), cast("StatusSource", Nothing()))._application()
    return {resource.canonical for resource in application.router.resources()}
