"""A cluster of AWS: address and CA from EKS, a token as `aws eks get-token` makes it: a presigned GetCallerIdentity
request (https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html; kubernetes-sigs/aws-iam-authenticator).
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from engine.config.clusters import EksSettings
from engine.errors import ConfigurationError, OperationFailed, TransientFailure

if TYPE_CHECKING:
    from kubernetes.client import Configuration

_RENEWED_SECONDS = 10 * 60
"""EKS takes a token for 15 minutes, whatever the request in it says; one is made anew before."""
_HEADER = "x-k8s-aws-id"


def eks_configuration(settings: EksSettings) -> Configuration:
    """The official client's configuration; its token is made anew before it expires.

    Raises:
        ConfigurationError: there is no such cluster, or no AWS credentials.
        TransientFailure: AWS does not answer.
    """
    from kubernetes import client, config

    address, certificate = _described(settings)
    configuration, renewed = client.Configuration(), Renewed(settings)
    configuration.retries = False
    config.load_kube_config_from_dict(_kubeconfig(address, certificate), None, configuration, persist_config=False)
    configuration.refresh_api_key_hook = renewed
    renewed(configuration)
    return configuration


def _kubeconfig(address: str, certificate: str) -> dict[str, Any]:
    """The CA becomes a file by this (the websocket of `exec` wants one), which the client removes at the end."""
    cluster = {"server": address, "certificate-authority-data": certificate}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "eks", "cluster": cluster}],
        "users": [{"name": "aws", "user": {"token": "none yet"}}],
        "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "aws"}}],
        "current-context": "eks",
    }


class Renewed:
    """Puts a token into a configuration that lives longer than one."""

    def __init__(self, settings: EksSettings, renewed_seconds: float = _RENEWED_SECONDS) -> None:
        self.settings, self.renewed_seconds = settings, renewed_seconds
        self._made: float | None = None

    def __call__(self, configuration: Configuration) -> None:
        if self._made is None or time.monotonic() - self._made > self.renewed_seconds:
            configuration.api_key = {"authorization": f"Bearer {eks_token(self.settings)}"}
            self._made = time.monotonic()


def eks_token(settings: EksSettings) -> str:
    """A bearer token: `k8s-aws-v1.` and the presigned address of sts:GetCallerIdentity, bound to the cluster's name.

    Raises:
        ConfigurationError: boto3 finds no credentials.
    """
    from botocore.exceptions import BotoCoreError

    try:
        sts = _client("sts", settings)
        sts.meta.events.register("provide-client-params.sts.GetCallerIdentity", _keep_name)
        sts.meta.events.register("before-sign.sts.GetCallerIdentity", _add_name)
        address = sts.generate_presigned_url(
            "get_caller_identity", Params={"ClusterName": settings.cluster}, ExpiresIn=60, HttpMethod="GET"
        )
    except BotoCoreError as error:
        raise _unusable(settings, error) from None
    return "k8s-aws-v1." + base64.urlsafe_b64encode(address.encode()).rstrip(b"=").decode()


def _keep_name(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["cluster"] = params.pop("ClusterName")


def _add_name(request: Any, **_: Any) -> None:
    request.headers[_HEADER] = request.context["cluster"]


def _described(settings: EksSettings) -> tuple[str, str]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = _client("eks", settings).describe_cluster(name=settings.cluster)["cluster"]
        return str(found["endpoint"]), str(found["certificateAuthority"]["data"])
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ResourceNotFoundException":
            raise ConfigurationError(
                f"AWS has no EKS cluster {settings.cluster} in {settings.region}; correct [clusters.NAME.eks]."
            ) from None
        if "ExpiredToken" in code:
            raise OperationFailed(
                "The AWS credentials have expired; log in again (`aws sso login` or a new role session) and start again."
            ) from None
        raise OperationFailed(
            f"AWS does not tell where {settings.cluster} is ({code}); it needs eks:DescribeCluster."
        ) from None
    except BotoCoreError as error:
        raise _unusable(settings, error) from None


def _unusable(settings: EksSettings, error: Exception) -> ConfigurationError | TransientFailure:
    if "Credentials" in type(error).__name__ or "Token" in type(error).__name__:
        return ConfigurationError(
            f"No AWS credentials for {settings.cluster}: {error}; give them as boto3 finds them (a role of the host, "
            "AWS_PROFILE, `aws sso login`)."
        )
    return TransientFailure(f"AWS does not answer ({type(error).__name__}); look at the way to {settings.region}.")


def _client(service: str, settings: EksSettings) -> Any:
    import boto3

    session = boto3.Session()  # a new one: credentials that were renewed since are found
    return session.client(service, region_name=settings.region)  # type: ignore[call-overload]
