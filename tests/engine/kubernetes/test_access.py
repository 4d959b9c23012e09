"""Who may do what where: rights that lack, a token that has expired, contexts, AWS's tokens; nothing but the namespace."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import boto3
import pytest
import yaml

from engine.config.clusters import ClusterSettings, EksSettings
from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.kubernetes import records
from engine.kubernetes.connection import Connection
from engine.kubernetes.eks import Renewed, eks_configuration, eks_token
from engine.kubernetes.errors import Forbidden, Unauthorized
from engine.kubernetes.objects import CONFIG_MAPS, DEPLOYMENTS
from engine.operations.cluster_incident import Incident
from engine.progress import silent
from engine.steps import InShell
from tests.engine.kubernetes.application import CANARY, App, CutOff
from tests.engine.stores.servers import S3Server, moto
from tests.kubebox import NEW, OLD, ROOT

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]
DEPLOYER = ROOT / "stack" / "k8s" / "once" / "deployer.yaml"


def _as(app: App, account: str, token: str = "") -> dict[str, str]:
    """Settings with the credentials of a service account, in a context of their own beside the first one."""
    config = yaml.safe_load(app.cluster.kubeconfig.read_text())
    token = token or app.cluster.kubectl("-n", app.namespace, "create", "token", account).strip()
    config["users"].append({"name": "other", "user": {"token": token}})
    config["contexts"].append({"name": "other", "context": {"cluster": config["clusters"][0]["name"], "user": "other"}})
    path = app.folder / f"kubeconfig-{account}"
    path.write_text(yaml.safe_dump(config))
    return {"kubeconfig": str(path), "context": "other"}


def test_least_rights_are_enough_and_what_lacks_is_named_before_anything_is_touched(app: App) -> None:
    namespace, kubectl = app.namespace, app.cluster.kubectl
    kubectl("-n", namespace, "create", "serviceaccount", "worker")
    app.settings |= _as(app, "worker")
    with pytest.raises(Forbidden) as caught:
        app.deploy(OLD)
    message = str(caught.value)
    assert "the context other of" in message and "create deployments" in message and "nothing was touched" in message
    assert kubectl("-n", namespace, "get", "deployments,leases", "-o", "name") == ""

    role = next(each for each in yaml.safe_load_all(DEPLOYER.read_text()) if each["kind"] == "ClusterRole")
    role = role | {"kind": "Role", "metadata": {"name": "kerp-deployer", "namespace": namespace}}
    kubectl("apply", "-f", "-", given=yaml.safe_dump(role))
    kubectl(
        *("-n", namespace, "create", "rolebinding", "deployer"),
        *("--role=kerp-deployer", f"--serviceaccount={namespace}:worker"),
    )
    app.deploy(OLD)
    app.deploy(NEW)
    back = app.run("rollback")
    back.carry_out(InShell(silent))
    assert app.image() == OLD

    incident = Incident(app.connection, "a test")
    incident.scale(3, InShell(silent))
    incident.restart(InShell(silent))
    [first, *_] = app.pods()
    incident.delete_pod(first["metadata"]["name"], InShell(silent))
    assert first["metadata"]["name"] not in {each["metadata"]["name"] for each in app.pods()}
    assert len(incident.logs(2)) >= 3
    incident.check_database(InShell(silent))
    assert "ended" not in incident.outcome
    with pytest.raises(ConfigurationError, match="kerp-api has no pod 'coredns-1'"):
        incident.delete_pod("coredns-1", InShell(silent))
    with pytest.raises(Forbidden):
        app.connection.list(CONFIG_MAPS.__class__("v1", "secrets"))
    _a_token_that_ends_during_a_rollout(app)


def _a_token_that_ends_during_a_rollout(app: App) -> None:
    """Nothing can be put back with it: the record stays begun, and the next run puts it right."""
    kubectl = app.cluster.kubectl

    def report(what: str, done: int = 0, total: int = 0) -> None:
        if what == "wait for the rollout":
            kubectl("-n", app.namespace, "delete", "serviceaccount", "worker")

    app.configure(ready_seconds=6)
    with pytest.raises(Unauthorized, match=r"the token has expired or is wrong.*It could not be undone"):
        app.run(version=NEW).carry_out(InShell(report))
    app.settings = {}
    kubectl("-n", app.namespace, "delete", "lease", "platform-ops-kerp-api")  # else it is free in 15 s
    assert app.deploy(NEW).recovered.endswith("was cut off. Its rollout ended well: it was finished.")


def test_a_token_that_has_expired_and_a_context_that_is_not_there_say_so(app: App) -> None:
    app.settings |= _as(app, "nobody", token="expired")
    with pytest.raises(
        Unauthorized, match=r"does not take the credentials of the context other .*\(401\): the token has expired"
    ):
        app.deploy(OLD)
    app.settings["context"] = "elsewhere"
    with pytest.raises(ConfigurationError, match="elsewhere"):
        app.deploy(OLD)
    app.settings["kubeconfig"] = "/nowhere/config"
    with pytest.raises(ConfigurationError, match="The kubeconfig /nowhere/config of box is not there"):
        app.deploy(OLD)


def test_nothing_outside_of_the_namespace_is_touched(app: App) -> None:
    extra = app.folder / "overlay" / "extra.yaml"
    kustomization = app.folder / "overlay" / "kustomization.yaml"
    text = kustomization.read_text()
    for wanted, message in (
        ("{kind: Namespace, apiVersion: v1, metadata: {name: other}}", "belongs to the whole cluster"),
        (
            "{kind: PriorityClass, apiVersion: scheduling.k8s.io/v1, metadata: {name: high}, value: 1}",
            "belongs to the whole cluster",
        ),
        ("{kind: Widget, apiVersion: example.com/v1, metadata: {name: one}}", "knows no Widget of example.com/v1"),
    ):
        extra.write_text(wanted)
        kustomization.write_text(text.replace("- ../base", "- ../base\n- extra.yaml"))
        with pytest.raises(PlatformOpsError, match=message):
            app.deploy(OLD)
    plain = app.folder / "plain"
    plain.mkdir()
    (plain / "one.yaml").write_text(
        "{kind: ConfigMap, apiVersion: v1, metadata: {name: one, namespace: kube-system}, data: {}}"
    )
    app.settings["manifests"] = str(plain)
    with pytest.raises(ConfigurationError, match="ConfigMap one belongs to the namespace kube-system; only kerp-"):
        app.deploy(OLD)
    assert app.connection.find(DEPLOYMENTS, "kerp-api") is None


def test_secrets_of_the_manifests_are_hashes_in_plan_and_record(app: App) -> None:
    app.cluster.kubectl("-n", app.namespace, "delete", "secret", "kerp-secrets")
    overlay = app.folder / "overlay"
    secret = "{apiVersion: v1, kind: Secret, metadata: {name: kerp-secrets}, stringData: {DB_PASSWORD: %s}}"
    (overlay / "secret.yaml").write_text(secret % CANARY)
    kustomization = overlay / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("- ../base", "- ../base\n- secret.yaml"))
    first = app.deploy(OLD)
    (overlay / "secret.yaml").write_text(secret % "another-canary")
    second = app.deploy(OLD)
    assert first.plan is not None and second.plan is not None
    [change] = [each for each in second.plan.changing if each.kind == "Secret"]
    [value] = change.differences
    assert value.where == "data.DB_PASSWORD"
    assert value.old.startswith("hash ") and value.new.startswith("hash ") and value.old != value.new
    shown = first.plan.model_dump_json() + second.plan.model_dump_json()
    shown += app.cluster.kubectl("-n", app.namespace, "get", "configmaps", "-o", "yaml")
    app.settings["smoke"] = ("/busybox", "false")
    (overlay / "secret.yaml").write_text(secret % "third-canary")
    with pytest.raises(OperationFailed, match=r"The smoke test failed.*What was changed is as it was\.") as caught:
        app.deploy(OLD)
    [kept] = [
        base64.b64decode(each["data"]["DB_PASSWORD"]).decode()
        for each in [app.cluster.get("-n", app.namespace, "secret", "kerp-secrets")]
    ]
    assert kept == "another-canary", "put back from memory: it is in no record"
    shown += app.cluster.kubectl("-n", app.namespace, "get", "configmaps", "-o", "yaml") + str(caught.value)

    with pytest.raises(SystemExit):
        app.run(version=OLD).carry_out(CutOff(silent, "wait for the rollout"))
    after = app.deploy(OLD)
    assert "The smoke test failed" in after.recovered and "was changed is as it was" not in after.recovered
    assert "But Secret kerp-secrets may hold what is new: no record has what it held before." in after.recovered
    assert records.releases(app.connection, "kerp-api")[-1].state == "failed"
    for each in (CANARY, "another-canary", "third-canary"):
        assert each not in shown
        assert base64.b64encode(each.encode()).decode() not in shown


# AWS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture
def eks(aws: S3Server, monkeypatch: pytest.MonkeyPatch) -> EksSettings:
    for name, value in {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "tester-secret",
    }.items():
        monkeypatch.setenv(name, value)
    return EksSettings(cluster="kerp-cluster", region="ap-northeast-2")


def test_a_token_of_aws_is_a_signed_question_who_we_are_bound_to_the_cluster(eks: EksSettings) -> None:
    token = eks_token(eks)
    assert token.startswith("k8s-aws-v1.")
    encoded = token.removeprefix("k8s-aws-v1.")
    address = urlparse(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    requested = parse_qs(address.query)
    assert requested["Action"] == ["GetCallerIdentity"]
    assert requested["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert requested["X-Amz-Expires"] == ["60"]
    assert "ap-northeast-2/sts/aws4_request" in requested["X-Amz-Credential"][0]
    assert "tester-secret" not in address.query


def test_a_token_is_made_anew_before_it_expires(eks: EksSettings) -> None:
    boto3.client("eks", region_name="ap-northeast-2").create_cluster(
        name="kerp-cluster", roleArn="arn:aws:iam::123456789012:role/r", resourcesVpcConfig={}
    )
    configuration = eks_configuration(eks)
    assert configuration.host.startswith("https://")
    assert Path(configuration.ssl_ca_cert).exists()
    first = configuration.get_api_key_with_prefix("authorization")
    assert first.startswith("Bearer k8s-aws-v1.")
    assert configuration.get_api_key_with_prefix("authorization") == first
    Renewed(eks, renewed_seconds=-1)(configuration)
    assert configuration.api_key["authorization"].startswith("Bearer k8s-aws-v1.")


def test_a_cluster_that_aws_does_not_know_and_no_credentials_say_so(
    eks: EksSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = ClusterSettings(namespace="kerp-prod", manifests="/none", eks=eks.model_copy(update={"cluster": "other"}))
    with pytest.raises(ConfigurationError, match="AWS has no EKS cluster other in ap-northeast-2"):
        Connection("prod", unknown).list(CONFIG_MAPS)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    with pytest.raises(ConfigurationError, match="No AWS credentials for kerp-cluster"):
        eks_token(eks)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tester-secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TransientFailure, match="AWS does not answer"):
        eks_configuration(eks)
