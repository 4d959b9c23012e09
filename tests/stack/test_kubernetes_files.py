"""K-ERP's files against the tables they were asked for as, and against a real API server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.hosts.parts import program
from tests.kubebox import ROOT, Cluster

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]
K8S = ROOT / "stack" / "k8s"
NAMESPACES = {"staging": "kerp-staging", "production": "kerp-prod"}
DEFINED = Path(__file__).with_name("external_secrets.yaml")
CONFIG = {
    "APP_NAME",
    "APP_ENV",
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_SSLMODE",
    "DB_MAX_OPEN_CONNS",
    "DB_MAX_IDLE_CONNS",
    "REDIS_HOST",
    "REDIS_PORT",
    "NATS_URL",
    "POPBILL_ENV",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
}
SECRETS = {"DB_PASSWORD", "REDIS_PASSWORD", "JWT_SECRET", "POPBILL_LINK_ID", "POPBILL_SECRET_KEY"}
Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Cluster:
    """With the namespaces and what an administrator makes once."""
    cluster.kubectl("apply", "-f", str(DEFINED))
    cluster.kubectl("wait", "--for=condition=Established", "crd/externalsecrets.external-secrets.io", "--timeout=20s")
    cluster.kubectl("apply", "-k", str(K8S / "once"))
    return cluster


@pytest.fixture(scope="module", params=sorted(NAMESPACES))
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def objects(environment: str, cluster: Cluster) -> Objects:
    text = cluster.kubectl("kustomize", str(K8S / "overlays" / environment))
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text)}


def test_everything_is_there_and_in_its_namespace(objects: Objects, environment: str) -> None:
    assert set(objects) == {
        ("Deployment", "kerp-api"),
        ("Service", "kerp-api"),
        ("Ingress", "kerp-api"),
        ("HorizontalPodAutoscaler", "kerp-api"),
        ("PodDisruptionBudget", "kerp-api"),
        ("ResourceQuota", "kerp-quota"),
        ("ConfigMap", "kerp-config"),
        ("ExternalSecret", "kerp-secrets"),
        ("ServiceAccount", "kerp-api"),
        ("ServiceAccount", "kerp-jobs"),
        ("CronJob", "daily-backup"),
        ("CronJob", "month-end-closing"),
        ("CronJob", "log-cleanup"),
    }
    assert {each["metadata"]["namespace"] for each in objects.values()} == {NAMESPACES[environment]}


def test_the_deployment(objects: Objects) -> None:
    spec = objects["Deployment", "kerp-api"]["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    template = spec["template"]
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
    }
    pod = template["spec"]
    assert pod["serviceAccountName"] == "kerp-api"
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1001,
        "runAsGroup": 1001,
        "fsGroup": 1001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    anti = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]
    assert (anti["topologyKey"], anti["labelSelector"]["matchLabels"]) == (
        "kubernetes.io/hostname",
        {"app": "kerp-api"},
    )
    assert [each["topologyKey"] for each in pod["topologySpreadConstraints"]] == ["topology.kubernetes.io/zone"]
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]


def test_its_container(objects: Objects) -> None:
    [container] = objects["Deployment", "kerp-api"]["spec"]["template"]["spec"]["containers"]
    assert re.fullmatch(
        r"\d{12}\.dkr\.ecr\.ap-northeast-2\.amazonaws\.com/kerp/api", container["image"].rpartition(":")[0]
    )
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"cpu": "2000m", "memory": "2Gi"},
    }
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/health/live", "port": "http"},
        "initialDelaySeconds": 15,
        "periodSeconds": 20,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/health/ready", "port": "http"},
        "initialDelaySeconds": 5,
        "periodSeconds": 10,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    }
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["envFrom"] == [{"configMapRef": {"name": "kerp-config"}}, {"secretRef": {"name": "kerp-secrets"}}]


def test_service_ingress_quota_and_budget(objects: Objects, environment: str) -> None:
    service = objects["Service", "kerp-api"]["spec"]
    assert service["type"] == "ClusterIP"
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(80, 8080)]
    ingress = objects["Ingress", "kerp-api"]
    message = {
        key.removeprefix("alb.ingress.kubernetes.io/"): v for key, v in ingress["metadata"]["annotations"].items()
    }
    assert message.pop("certificate-arn").startswith("arn:aws:acm:ap-northeast-2:")
    assert message == {
        "scheme": "internet-facing",
        "target-type": "ip",
        "listen-ports": '[{"HTTPS": 443}]',
        "ssl-policy": "ELBSecurityPolicy-TLS-1-2-2017-01",
        "healthcheck-path": "/health",
    }
    host = {"production": "api.kerp.example.com", "staging": "api-staging.kerp.example.com"}[environment]
    assert (ingress["spec"]["ingressClassName"], ingress["spec"]["rules"][0]["host"]) == ("alb", host)
    assert objects["ResourceQuota", "kerp-quota"]["spec"]["hard"] == {
        "requests.cpu": "20",
        "requests.memory": "40Gi",
        "limits.cpu": "40",
        "limits.memory": "80Gi",
        "pods": "50",
    }
    assert objects["PodDisruptionBudget", "kerp-api"]["spec"]["maxUnavailable"] == 1


def test_the_autoscaler(objects: Objects) -> None:
    spec = objects["HorizontalPodAutoscaler", "kerp-api"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    targets = {each["resource"]["name"]: each["resource"]["target"]["averageUtilization"] for each in spec["metrics"]}
    assert targets == {"cpu": 70, "memory": 80}
    assert spec["behavior"]["scaleUp"] == {
        "stabilizationWindowSeconds": 60,
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
    }
    assert spec["behavior"]["scaleDown"] == {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
    }


def test_configuration_and_secrets(objects: Objects, environment: str) -> None:
    data = objects["ConfigMap", "kerp-config"]["data"]
    assert set(data) == CONFIG
    assert (data["APP_ENV"], data["DB_SSLMODE"]) == (environment, "require")
    assert (data["DB_MAX_OPEN_CONNS"], data["DB_MAX_IDLE_CONNS"]) == ("100", "10")
    wanted = objects["ExternalSecret", "kerp-secrets"]["spec"]
    keys = {each["secretKey"]: each["remoteRef"]["key"] for each in wanted["data"]}
    assert (wanted["target"]["name"], set(keys)) == ("kerp-secrets", SECRETS)
    assert keys["DB_PASSWORD"] == f"kerp/{environment}/db-password"
    assert all(key.startswith(f"kerp/{environment}/") for key in keys.values())
    shape = yaml.safe_load((K8S / "secret.example.yaml").read_text())
    assert (shape["metadata"]["name"], shape["stringData"]) == ("kerp-secrets", dict.fromkeys(SECRETS, ""))


@pytest.mark.parametrize(
    ("name", "image", "arguments", "schedule"),
    [
        ("daily-backup", "kerp/backup", None, "0 2 * * *"),
        ("month-end-closing", "kerp/worker", ["month-end-closing"], "0 23 28-31 * *"),
        ("log-cleanup", "kerp/maintenance", ["cleanup-logs", "--days=90"], "0 4 * * 0"),
    ],
)
def test_jobs_are_suspended_since_prefect_has_their_schedules(
    objects: Objects, name: str, image: str, arguments: list[str] | None, schedule: str
) -> None:
    spec = objects["CronJob", name]["spec"]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert (spec["suspend"], spec["schedule"], pod["restartPolicy"]) == (True, schedule, "OnFailure")
    assert (container["image"].rpartition(":")[0].partition("/")[2], container.get("args")) == (image, arguments)


def test_a_month_that_was_closed_is_known_for_two_years(objects: Objects) -> None:
    spec = objects["CronJob", "month-end-closing"]["spec"]
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (24, 24)
    assert "ttlSecondsAfterFinished" not in spec["jobTemplate"]["spec"]


def test_accounts_have_no_rights(objects: Objects) -> None:
    for name in ("kerp-api", "kerp-jobs"):
        assert objects["ServiceAccount", name]["automountServiceAccountToken"] is False
    assert not [kind for kind, _ in objects if "Role" in kind]


def test_the_server_takes_all_of_it(prepared: Cluster, environment: str) -> None:
    overlay = str(K8S / "overlays" / environment)
    message = prepared.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", overlay)
    assert message.count("(server dry run)") == 13
    namespace = NAMESPACES[environment]
    example = str(K8S / "secret.example.yaml")
    prepared.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", example)


@pytest.mark.parametrize(
    ("kind", "name", "right", "wrong"),
    [
        ("Deployment", "kerp-api", "maxUnavailable", "maxUnavailible"),
        ("ExternalSecret", "kerp-secrets", "remoteRef", "remoteReference"),
    ],
)
def test_a_misspelt_field_is_refused(
    prepared: Cluster, objects: Objects, kind: str, name: str, right: str, wrong: str
) -> None:
    text = yaml.safe_dump(objects[kind, name])
    assert right in text
    done = prepared.tried(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", given=text.replace(f"{right}:", f"{wrong}:")
    )
    assert done.returncode == 1
    assert wrong in done.stderr


# Images --------------------------------------------------------------------------------------------------------------


def test_the_api_image_is_built_in_stages_and_runs_as_1001() -> None:
    text = (K8S / "images" / "api.Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.M)
    assert [stage.partition(":")[0] for stage in stages] == ["golang", "alpine"]
    assert re.findall(r"^USER (\S+)", text, re.M) == ["1001"]
    check = re.search(r"^HEALTHCHECK (.*) \\\n\s+CMD (.*)$", text, re.M)
    assert check is not None
    assert check[1] == "--interval=30s --timeout=3s --start-period=5s --retries=3"
    assert "wget" in check[2]
    assert "/health " in check[2]


def test_the_web_image_is_built_by_node_20_and_served_by_nginx() -> None:
    text = (K8S / "images" / "web.Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.M) == ["node:20-alpine", "nginx:alpine"]
    assert "ARG VITE_API_BASE_URL" in text


# Alerts --------------------------------------------------------------------------------------------------------------

MONITORING = K8S / "monitoring"


def _tool(name: str, *argv: str, folder: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name), *argv], cwd=folder, capture_output=True, text=True, timeout=60)


def test_each_threshold_fires_and_does_not_fire() -> None:
    assert _tool("promtool", "check", "rules", "rules.yaml").returncode == 0
    done = _tool("promtool", "test", "rules", "rules.test.yaml")
    assert (done.returncode, done.stdout.strip().endswith("SUCCESS")) == (0, True), done.stderr
    rules = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"][0]["rules"]
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules}
    assert severities == {
        "KerpApiSlow": "warning",
        "KerpApiVerySlow": "critical",
        "KerpApiErrors": "warning",
        "KerpApiManyErrors": "critical",
        "KerpApiCpu": "warning",
        "KerpApiMemory": "warning",
        "KerpApiRestarts": "critical",
        "KerpDatabasePool": "warning",
    }
    text = (MONITORING / "rules.test.yaml").read_text()
    for alert in severities:
        requested = re.findall(rf"alertname: {alert}\n\s+eval_time: \S+\n\s+exp_alerts:(.*)", text)
        assert {bool(each.strip()) for each in requested} == {False, True}, f"{alert} is not tested both ways"


def test_a_rule_that_says_something_else_is_found(tmp_path: Path) -> None:
    changed = (MONITORING / "rules.yaml").read_text().replace("> 0.85", "> 0.95")
    (tmp_path / "rules.yaml").write_text(changed)
    (tmp_path / "rules.test.yaml").write_text((MONITORING / "rules.test.yaml").read_text())
    assert _tool("promtool", "test", "rules", "rules.test.yaml", folder=tmp_path).returncode == 1


def test_alerts_reach_the_channel_of_their_severity() -> None:
    checked = _tool("amtool", "check-config", "alertmanager.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    route = config["route"]
    assert (route["group_by"], route["group_wait"], route["group_interval"], route["repeat_interval"]) == (
        ["alertname", "severity"],
        "30s",
        "5m",
        "4h",
    )
    to = {each["name"]: each["slack_configs"][0] for each in config["receivers"]}
    channels = {"critical": "#kerp-alerts-critical", "warning": "#kerp-alerts-warning", "unheard": "#kerp-alerts"}
    for severity, channel in channels.items():
        found = _tool(
            "amtool", "config", "routes", "test", "--config.file=alertmanager.yml", f"severity={severity}"
        ).stdout.strip()
        assert (to[found]["channel"], to[found]["send_resolved"]) == (channel, True)


def test_a_receiver_that_is_not_defined_is_refused(tmp_path: Path) -> None:
    text = (MONITORING / "alertmanager.yml").read_text()
    wrong = tmp_path / "alertmanager.yml"
    wrong.write_text(text.replace("receiver: default\n", "receiver: somebody\n", 1))
    assert _tool("amtool", "check-config", str(wrong)).returncode == 1
