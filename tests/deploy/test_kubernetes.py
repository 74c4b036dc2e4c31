"""``deploy/kubernetes``, as far as it can be judged without a cluster and without kustomize.

Each resource is valid by itself, and all of them fit together and to streamer: ports, probes, files, volumes, waits.
"""

import re
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest

from streamer.__main__ import _parser, main
from streamer.settings import Settings, load
from streamer.settings.quantities import parse_size
from streamer.timings import PRODUCTION
from tests.deploy.custom_resources import SCHEMAS
from tests.deploy.manifests import (
    DIRECTORIES,
    IMAGE_ENVIRON,
    RESOURCES,
    ROOT,
    WORKLOADS,
    Resource,
    configurations,
    container_of,
    generated,
    name_of,
    of_kind,
    pod_of,
    read,
    routes,
    selected_by,
)

OLDEST_VERSION: Final = "1.29"
NEWEST_VERSION: Final = "1.37"

every_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)


def configuration_of(workload: Resource) -> Path:
    """The file that the pods of a workload mount as their configuration; not that of the example."""
    volume = volumes_of(workload)["configuration"]
    [file] = [
        file for name, file in configurations() if name == volume["configMap"]["name"] and file.parent.name != "example"
    ]
    return file


def volumes_of(workload: Resource) -> dict[str, Any]:
    """The volumes of a pod by name, those that the StatefulSet claims included."""
    claimed = {claim["metadata"]["name"]: claim["spec"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
    return {volume["name"]: volume for volume in pod_of(workload)["volumes"]} | claimed


def mounts_of(workload: Resource) -> dict[str, str]:
    """Name of the volume by the path where it is mounted."""
    return {mount["mountPath"]: mount["name"] for mount in container_of(workload)["volumeMounts"]}


def settings_of(workload: Resource) -> Settings:
    return load(configuration_of(workload), IMAGE_ENVIRON)


@pytest.mark.parametrize("version", [OLDEST_VERSION, NEWEST_VERSION])
@pytest.mark.parametrize("path", [path for path, resource in RESOURCES.items() if resource["kind"] not in SCHEMAS])
def test_every_resource_follows_the_schema_of_kubernetes(path: str, version: str) -> None:
    kubernetes_validate.validate(dict(RESOURCES[path]), version, strict=True)


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: str(path.name))
def test_a_kustomization_names_every_file_beside_it_and_no_other(directory: Path) -> None:
    kustomization = read(directory / "kustomization.yaml")
    named = [directory / name for name in kustomization["resources"]]
    named += [file for _, file in generated(directory)]

    assert [path for path in named if not path.exists()] == []
    assert set(directory.iterdir()) - {directory / "kustomization.yaml"} == {
        path for path in named if path.parent == directory and ".." not in path.parts
    }


def test_there_is_no_secret_among_the_files() -> None:
    assert of_kind("Secret") == []
    assert not any("secretGenerator" in read(directory / "kustomization.yaml") for directory in DIRECTORIES)


@pytest.mark.parametrize(("name", "file"), configurations(), ids=lambda value: str(getattr(value, "name", value)))
def test_every_configuration_passes_the_check(
    name: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its secrets in place, which are mounted from elsewhere."""
    text = file.read_text("utf-8").replace("/run/secrets/streamer", str(tmp_path)).replace("/var/lib", str(tmp_path))
    for secret in re.findall(rf"_file: {tmp_path}/(\S+)", text):
        (tmp_path / secret).write_text("postgresql://a:b@c:5432/d" if "url" in secret else "x" * 32, "utf-8")
    (tmp_path / "streamer.yaml").write_text(text, "utf-8")
    for variable, value in IMAGE_ENVIRON.items():
        monkeypatch.setenv(variable, value)

    exit_code = main(["check", "--config", str(tmp_path / "streamer.yaml")])

    assert exit_code == 0, f"{name}: {capsys.readouterr().err}"


@every_workload
def test_the_command_is_one_of_streamer_and_reads_the_mounted_configuration(workload: Resource) -> None:
    args = _parser().parse_args(container_of(workload)["args"])

    assert args.config == Path("/etc/streamer/streamer.yaml")
    assert mounts_of(workload)["/etc/streamer"] == "configuration"


@every_workload
def test_selectors_find_the_pods(workload: Resource) -> None:
    labels = workload["spec"]["selector"]["matchLabels"]

    assert selected_by(labels) == [workload]
    assert workload["metadata"]["labels"].items() >= labels.items()
    for constraint in pod_of(workload)["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == labels


@every_workload
def test_every_workload_has_a_service_a_budget_and_a_policy_of_its_own(workload: Resource) -> None:
    labels = workload["spec"]["selector"]["matchLabels"]

    services = [one for one in of_kind("Service") if one["spec"]["selector"] == labels]
    budgets = [one for one in of_kind("PodDisruptionBudget") if one["spec"]["selector"]["matchLabels"] == labels]
    policies = [one for one in of_kind("NetworkPolicy") if one["spec"]["podSelector"]["matchLabels"] == labels]

    assert list(map(name_of, services + budgets + policies)) == [name_of(workload)] * 3
    assert workload["spec"].get("serviceName") in {None, name_of(workload)}


@every_workload
def test_the_ports_are_those_on_which_streamer_listens(workload: Resource) -> None:
    settings = settings_of(workload)
    listen = settings.inbound.listen if settings.inbound is not None else None
    expected = {"http": settings.server.port} | ({} if listen is None else {"webhooks": listen.port})

    assert {port["name"]: port["containerPort"] for port in container_of(workload)["ports"]} == expected
    assert settings.server.host == "::"
    assert listen is None or listen.host == "::"


@pytest.mark.parametrize("service", of_kind("Service"), ids=name_of)
def test_the_ports_of_a_service_are_ports_of_its_pods(service: Resource) -> None:
    [workload] = selected_by(service["spec"]["selector"])
    known = {port["name"]: port["containerPort"] for port in container_of(workload)["ports"]}

    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == known


def test_webhooks_come_through_the_ingress_to_a_service_that_leaves_out_pods_that_are_not_ready() -> None:
    [ingress] = of_kind("Ingress")
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    backend = path["backend"]["service"]
    [service] = [one for one in of_kind("Service") if name_of(one) == backend["name"]]

    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert path["path"] == "/webhooks/segment/"
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]
    assert not service["spec"].get("publishNotReadyAddresses")


@every_workload
def test_probes_ask_for_what_the_server_answers_as_often_as_agreed(workload: Resource) -> None:
    container = container_of(workload)
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}

    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= routes()
    assert probes["readiness"]["httpGet"]["path"] == "/readyz"
    assert probes["liveness"]["httpGet"]["path"] == "/livez"
    assert (probes["startup"]["periodSeconds"], probes["startup"]["failureThreshold"]) == (5, 24)
    assert (probes["liveness"]["periodSeconds"], probes["liveness"]["failureThreshold"]) == (10, 3)
    assert probes["readiness"]["periodSeconds"] == 5


@every_workload
def test_no_probe_restarts_a_pod_because_brokers_or_a_database_are_away(workload: Resource) -> None:
    """A restart cures none of that; /startupz waits for both."""
    for probe in ("startupProbe", "livenessProbe"):
        assert container_of(workload)[probe]["httpGet"]["path"] == "/livez"


@every_workload
def test_a_stop_has_the_time_of_a_drain_and_ten_seconds(workload: Resource) -> None:
    assert pod_of(workload)["terminationGracePeriodSeconds"] == PRODUCTION.drain + 10


@every_workload
def test_the_pods_may_do_as_little_as_the_restricted_standard_of_kubernetes_asks_for(workload: Resource) -> None:
    pod, container = pod_of(workload)["securityContext"], container_of(workload)["securityContext"]
    [user] = re.findall(r"^USER (\d+):\1$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)

    assert pod["runAsNonRoot"]
    assert {pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]} == {int(user)}
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod_of(workload)["automountServiceAccountToken"] is False


@every_workload
def test_what_streamer_writes_is_on_a_volume_and_what_it_reads_is_mounted(workload: Resource) -> None:
    """The root file system cannot be written to, and secrets are mounted as files."""
    mounts, volumes, settings = mounts_of(workload), volumes_of(workload), settings_of(workload)
    secret = volumes["secrets"]["secret"]
    shown = {item["path"] for item in secret.get("items", ())}
    text = configuration_of(workload).read_text("utf-8")
    needed = set(re.findall(r"^ *\w+_file: /run/secrets/streamer/(\S+)", text, re.MULTILINE))

    created = (configuration_of(workload).parent / "kustomization.yaml").read_text("utf-8")

    assert mounts[str(settings.state_dir.parent)] == "state"
    assert needed
    assert not shown or needed == shown
    assert {item["key"] for item in secret.get("items", ())} | needed <= set(
        re.findall(r"--from-file=([\w-]+)=", created)
    ), "the command that makes the Secret names every key"
    assert "/run/secrets/streamer" in mounts


def test_the_volume_holds_all_receipts() -> None:
    [workload] = of_kind("StatefulSet")
    settings = settings_of(workload)
    storage = volumes_of(workload)["state"]["resources"]["requests"]["storage"]

    assert parse_size(f"{storage}B") >= settings.receipts.max_bytes * len(settings.integrations) + (1 << 30)


@pytest.mark.parametrize("policy", of_kind("NetworkPolicy"), ids=name_of)
def test_a_policy_opens_the_ports_that_its_pods_need_and_keeps_the_server_to_the_monitoring(policy: Resource) -> None:
    [workload] = selected_by(policy["spec"]["podSelector"]["matchLabels"])
    settings = settings_of(workload)
    needed = {int(broker.rpartition(":")[2]) for broker in settings.kafka.bootstrap_servers.split(",")} | {53}
    needed |= {443} if settings.destinations else set()
    needed |= {5432} if settings.inbound is not None and settings.directory is not None else set()
    opened = [port for rule in policy["spec"]["egress"] for port in rule["ports"]]
    askers = {
        port["port"]: [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
        for rule in policy["spec"]["ingress"]
        for port in rule["ports"]
    }

    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert {
        port for port in needed if any(one["port"] <= port <= one.get("endPort", one["port"]) for one in opened)
    } == (needed)
    assert len({one["port"] for one in opened}) == len(needed), "and no others"
    assert askers["http"] == ["monitoring"]
    assert askers.keys() == {port["name"] for port in container_of(workload)["ports"]}
