"""Images of releases: each layer stored once, proven, and loaded into an engine that has never seen them."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pyrage import x25519

from blocks import BackupStore, Platform, source_block
from engine.cli import main
from engine.compose.docker import Docker
from engine.config.platforms import PlatformSettings
from engine.config.settings import FolderStore
from engine.errors import ConfigurationError, LockedByAnother, OperationFailed
from engine.hosts.machine import Local
from engine.hosts.opening import close_hosts
from engine.hosts.settings import HostSettings
from engine.operations.after_deploy import back_up_after_deploy
from engine.operations.backup import BackupRun
from engine.operations.drill import drill_set
from engine.progress import silent
from engine.releases import lock, records
from engine.releases.release import Release, ServiceRelease, pin
from engine.releases.staging import _fetched
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import read_manifest
from engine.repository.parsing import parse_set
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.images.kinds import BLOB, IMAGE, BlobFacts, ImagesFacts
from engine.sources.images.load import restore, write_archive
from engine.sources.images.saved import members, read_saved
from engine.sources.images.settings import ImagesSettings
from engine.sources.images.source import ImagesSource
from engine.sources.images.source_type import IMAGES
from engine.steps import InShell
from engine.stores.opening import open_store
from engine.streams.pipes import Meter
from flows.image_archive import image_archive
from flows.restore_images import restore_images
from tests.engine.hosts.sshd import running_sshd
from tests.engine.releases.small_platform import require_docker
from tests.engine.sources.images.engine import loaded_by_podman, second_engine, second_podman

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("releases")]
NOW = datetime(2026, 2, 1, tzinfo=UTC)
KEPT = {kind.name: kind.retention for kind in (IMAGE, BLOB)}


@dataclass
class Scene:
    """A platform's folder with the records of its releases; its images are tiny and share a layer."""

    folder: Path
    project: str

    @property
    def docker(self) -> Docker:
        return Docker(Local())

    @property
    def source(self) -> ImagesSource:
        return self.source_on(HostSettings())

    def source_on(self, host: HostSettings) -> ImagesSource:
        platform = PlatformSettings(directory=str(self.folder / "platform"), project=self.project, store="records")
        return ImagesSource("kecp", ImagesSettings(platform="small", store="nightly"), host, platform)

    def repository(self, name: str = "nightly", **more: Any) -> Repository:
        (self.folder / name).mkdir(exist_ok=True)
        return Repository(open_store(name, FolderStore(path=str(self.folder / name))), retention=KEPT, **more)

    def docker_that(self, monkeypatch: pytest.MonkeyPatch, word: str, does: str) -> None:
        """The engine's program, where `docker WORD` does this in the shell."""
        real, own = shutil.which("docker"), self.folder / f"docker-{uuid4().hex[:6]}"
        own.mkdir()
        (own / "docker").write_text(f'#!/bin/sh\nif [ "$1" = {word} ]; then {does}; else exec {real} "$@"; fi\n')
        (own / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")

    def image(self, service: str, version: str, *, base: bytes = b"base" * 50_000) -> ServiceRelease:
        """An image of two layers, the lower of which all have, as a release knows it."""
        context = self.folder / f"{service}-{version}"
        context.mkdir(exist_ok=True)
        (context / "base").write_bytes(base)
        (context / "app").write_text(f"{service} {version}")
        (context / "Dockerfile").write_text(f"FROM scratch\nCOPY base /base\nCOPY app /app\nENV VERSION={version}\n")
        reference = f"{self.project}-registry/{service}:{version}"
        argv = ["docker", "build", "--quiet", "--tag", reference, str(context)]
        subprocess.run(argv, check=True, capture_output=True)
        found = self.docker.image(reference)
        tag = pin(self.project, service, reference, found.id)
        self.docker.call(("docker", "tag", found.id, tag))
        return ServiceRelease(image=tag, image_id=found.id, reference=reference, config_hash="", settings={})

    def released(self, number: int, **versions: str) -> Release:
        """A release that is good, and runs from now on."""
        services = {name: self.image(name, version) for name, version in versions.items()}
        release = Release(
            id=f"2026020{number}T000000Z-{number:06x}",
            platform="small",
            environment="staging",
            services=services,
            nginx={},
            nginx_folder="",
            made=NOW + timedelta(days=number),
        )
        site = self.source.platform.site
        site.make_folders("run", "run/releases", site.release(release.id))
        records.accept(site, release)
        return release

    def archived(self, repository: Repository | None = None, host: HostSettings | None = None) -> BackupRun:
        made = repository or self.repository()
        run = BackupRun(self.source_on(host or HostSettings()), lambda name: made, uuid4().hex, "test")
        run.carry_out(InShell(silent))
        return run

    def blobs(self) -> set[str]:
        return {one.key.name for one in catalogue(self.repository(), "kecp").sets if one.key.kind == BLOB.name}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require_docker()
    made = Scene(tmp_path_factory.mktemp("images"), f"po-images-{secrets.token_hex(3)}")
    made.source.platform.site.make_folders("run")
    try:
        yield made
    finally:
        listed = made.docker.call(("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")).decode().split()
        mine = [tag for tag in listed if tag.startswith((f"{made.project}/", f"{made.project}-registry/"))]
        subprocess.run(["docker", "image", "rm", "--force", *mine], capture_output=True)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drills of other tests on this machine are not waited for."""
    monkeypatch.setattr("engine.operations.drill.LOCK", f"test-{uuid4().hex}")


def one_of(run: BackupRun) -> tuple[SetKey, ImagesFacts]:
    problem = run.problem()
    assert problem is None, problem
    (stored,) = run.result.stored
    assert isinstance(stored.facts, ImagesFacts)
    return stored.key, stored.facts


def test_layers_are_stored_once_and_go_when_no_stored_image_needs_them(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile a rollback finds the platform free, and another archive does not."""
    scene.released(1, web="1", api="1")
    publish = SetWriter.publish
    seen: list[SetKey] = []

    def meanwhile(writer: SetWriter, facts: Any) -> Any:
        if not seen:
            seen.append(writer.key)
            with lock.held(scene.source.platform.site, "rollback"):
                pass
            with pytest.raises(LockedByAnother, match=r"\(images\) is locked by test"), scene.source.lock("other"):
                pass
        return publish(writer, facts)

    monkeypatch.setattr(SetWriter, "publish", meanwhile)
    monkeypatch.setattr(lock, "_HOLD", lock._HOLD.replace(f"-w {lock.PATIENCE_SECONDS}", "-w 0.2"))
    _, facts = one_of(scene.archived())
    assert seen
    assert scene.blobs() == set(facts.blobs) and len(facts.blobs) == 2 + 1 + 2  # configurations, the base, each its own
    assert (facts.added, facts.added_bytes) == (5, blob_bytes(scene))
    assert not scene.archived().result.stored  # nothing changed

    scene.released(2, web="2", api="1")
    second, facts = one_of(scene.archived())
    assert [len(images) for images in facts.releases.values()] == [2, 2] and len(facts.images) == 3
    sets = catalogue(scene.repository(), "kecp").sets
    assert [one.key for one in sets if one.key.kind == IMAGE.name] == [second]
    assert scene.blobs() == set(facts.blobs) and len(facts.blobs) == 3 + 1 + 3

    scene.released(3, web="3", api="1")
    repository = scene.repository()
    before = set(facts.blobs)
    _, facts = one_of(scene.archived())
    # What only the first release had is not needed, and is younger than a day.
    assert scene.blobs() == before | set(facts.blobs)
    later = replace(repository, retention={**KEPT, BLOB.name: BLOB.retention.model_copy(update={"days": 0})})
    scene.released(4, web="4", api="1")
    fourth, facts = one_of(scene.archived(later))
    assert scene.blobs() == set(facts.blobs), "exactly what is needed stays"
    assert drill_set(repository, fourth, "test", silent).result == "passed"
    assert drill_set(repository, read_needs(repository, fourth)[0], "test", silent).result == "passed"


def read_needs(repository: Repository, key: SetKey) -> list[SetKey]:
    return [parse_set(text) for text in read_manifest(repository, key).needs]


def blob_bytes(scene: Scene) -> int:
    return sum(path.stat().st_size for path in (scene.folder / "nightly/kecp/blob").rglob("blob.gz"))


def replace_id(key: SetKey) -> SetKey:
    """Another set of the same thing."""
    return key._replace(set_id=new_set_id(datetime.now(UTC), uuid4().hex))


def newest(scene: Scene) -> SetKey:
    return max(one.key for one in catalogue(scene.repository(), "kecp").sets if one.key.kind == IMAGE.name)


def test_an_engine_that_never_saw_them_gets_the_same_images(scene: Scene, tmp_path: Path) -> None:
    scene.released(5, web="5", api="5")
    with running_sshd(tmp_path / "sshd") as sshd:
        one_of(scene.archived(host=sshd.settings))
        close_hosts()
    repository = scene.repository()
    body = read_manifest(repository, newest(scene))
    facts = ImagesFacts.model_validate(body.facts)
    with second_engine() as docker:
        made = restore(docker, repository, body, silent, 60)
        assert made.counts == {"release": 2, "image": 4} and not made.remarks
        for image in facts.images.values():
            assert docker.image(image.tag).id == docker.image(image.reference).id == f"sha256:{image.id}"
        taken = next(iter(facts.images.values())).reference
        docker.call(("docker", "tag", list(facts.images)[-1], taken))
        again = restore(docker, repository, body, silent, 60)
        assert again.remarks and "is another image here and stays it" in again.remarks[0]
    identity = x25519.Identity.generate()
    (tmp_path / "key").write_text(str(identity))
    tagged = scene.repository(
        "of-podman", recipients=(str(identity.to_public()),), identity_reference=f"file:{tmp_path / 'key'}"
    )
    with second_podman() as host:
        docker = Docker(Local(), host.docker_host)
        assert not restore(docker, repository, body, silent, 60).remarks
        key, same = one_of(scene.archived(tagged, host))
        assert same.same_as(facts)
        docker.call(("docker", "image", "rm", "--force", *facts.images))
        assert not restore(docker, tagged, read_manifest(tagged, key), silent, 60).remarks
        assert docker.image_ids(list(facts.images)) == {f"sha256:{image.id}" for image in facts.images.values()}
    assert drill_set(tagged, key, "test", silent).result == "passed"
    archive = tmp_path / "archive.tar"
    with archive.open("wb", buffering=0) as file:
        write_archive(repository, body, file, Meter())
    assert loaded_by_podman(archive) == {image.id for image in facts.images.values()}


def test_a_blob_that_is_damaged_or_gone_fails_the_drill_and_loads_nothing(scene: Scene) -> None:
    scene.released(6, web="6")
    scene.archived()
    repository = scene.repository()
    body = read_manifest(repository, newest(scene))
    needed = read_needs(repository, body.key)
    victim = max(
        (scene.folder / "nightly" / str(key) / "blob.gz" for key in needed), key=lambda path: path.stat().st_size
    )
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-20] + bytes(20))
    docker, facts = scene.docker, ImagesFacts.model_validate(body.facts)
    names = [name for image in facts.images.values() for name in (image.tag, image.reference)]
    docker.tried(("docker", "image", "rm", "--force", *names))
    try:
        assert drill_set(repository, body.key, "test", silent).result == "failed"
        with pytest.raises(OperationFailed):
            restore(docker, repository, body, silent, 60)
        victim.with_name("manifest.json").rename(victim.with_name("away"))
        assert drill_set(repository, body.key, "test", silent).result == "failed"
        victim.with_name("away").rename(victim.with_name("manifest.json"))
    finally:
        victim.write_bytes(whole)
    assert not docker.image_ids(names), "nothing was loaded"
    restore(docker, repository, body, silent, 60)
    assert docker.image_ids(names) == {f"sha256:{image.id}" for image in facts.images.values()}

    forged = SetWriter(repository, replace_id(needed[-1]))  # whole by its manifest, and another than its name says
    forged.add("blob", b"another", "blob")
    forged.publish(BlobFacts(what="layer", bytes=7))
    over = SetWriter(repository, replace_id(body.key))
    over.needs = [*needed[:-1], forged.key]
    over.add("images.json", b"[]", "images")
    over.publish(ImagesFacts.model_validate(body.facts))
    drilled = drill_set(repository, over.key, "test", silent)
    assert drilled.result == "failed" and "another blob than its name says" in drilled.sentence
    over.withdraw()
    forged.withdraw()


def test_an_image_that_is_gone_is_named_and_nothing_is_published(scene: Scene) -> None:
    """One of the release before is left out and told of: a `docker image prune -a` takes those."""
    older, release = scene.released(6, web="6c"), scene.released(7, web="7")
    service, docker = release.services["web"], scene.docker
    docker.call(("docker", "image", "rm", "--force", service.image))
    problem = scene.archived().problem()
    assert problem is not None and "No such image" in str(problem)
    lost = older.services["web"]
    docker.call(("docker", "tag", lost.reference, service.image))
    problem = scene.archived().problem()
    assert problem is not None and "is another image by now" in str(problem)
    docker.call(("docker", "tag", service.reference, service.image))
    docker.call(("docker", "image", "rm", "--force", lost.image, lost.reference))
    run = scene.archived()
    _, facts = one_of(run)
    assert list(facts.releases) == [release.id]
    (reported,) = run.result.remarks
    assert f"release {older.id} are not stored" in reported and "No such image" in reported


def test_an_engine_that_cannot_save_them_is_told_before_any_is_saved(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room on its own disk; with a store of images of another form (as Docker 29 and newer say it)."""
    scene.released(7, web="7d")
    with monkeypatch.context() as patched:
        scene.docker_that(patched, "save", "echo saved >&2; exit 3")
        problem = scene.archived().problem()
        assert problem is not None and "saved" in str(problem)
        patched.setattr("engine.sources.images.engine._RESERVE", 1 << 60)
        problem = scene.archived().problem()
    assert (
        problem is not None and "writes an image to its own disk" in str(problem) and "docker system df" in str(problem)
    )
    with monkeypatch.context() as patched:
        scene.docker_that(patched, "info", 'echo \'[["driver-type","io.containerd.snapshotter.v1"]]\'')
        (item,) = scene.source.items()
        assert "containerd-snapshotter" in item.skipped
        sources = {"kecp": scene.source.settings}
        (reported,) = back_up_after_deploy(
            "small", sources, lambda _: scene.source, lambda _: scene.repository(), "test", InShell(silent)
        )
    assert reported.startswith(
        "The release runs; kecp was not stored after it: the engine keeps images in containerd's"
    )


def test_packed_layers_of_an_archive_are_read_as_what_they_hold() -> None:
    """As newer engines write them."""
    import gzip

    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as archive:
        for name, data in (("blobs/one", gzip.compress(b"layer" * 9)), ("blobs/two", b"x"), ("empty", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    found = {name: file.read(-1) for name, file in members(io.BytesIO(text.getvalue()))}
    assert found == {"blobs/one": b"layer" * 9, "blobs/two": b"x", "empty": b""}
    with pytest.raises(OperationFailed, match="no whole archive"):
        list(members(io.BytesIO(json.dumps({}).encode())))
    for name, data in (("blobs/one", gzip.compress(b"layer" * 9)[:12] + b"broken"), ("manifest.json", b"[{")):
        text = io.BytesIO()
        with tarfile.open(fileobj=text, mode="w") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        with pytest.raises(OperationFailed, match="no whole archive"):
            read_saved(io.BytesIO(text.getvalue()))


def test_killed_while_it_stores_blobs(scene: Scene) -> None:
    scene.released(8, web="8", api="8")
    before = scene.blobs()
    code = (
        "import os, signal\n"
        "from engine.repository.writing import SetWriter\n"
        "from tests.engine.sources.images.test_images import Scene\n"
        "from pathlib import Path\n"
        "done, publish = [], SetWriter.publish\n"
        "def deadly(self, facts):\n"
        "    if len(done) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(self.key)\n"
        "    return publish(self, facts)\n"
        "SetWriter.publish = deadly\n"
        f"Scene(Path({str(scene.folder)!r}), {scene.project!r}).archived()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -signal.SIGKILL
    left = {one.key for one in catalogue(scene.repository(), "kecp").sets if one.key.name not in before}
    left = {key for key in left if key.kind == BLOB.name}
    assert len(left) == 2  # they are whole
    assert len(catalogue(scene.repository(), "kecp").incomplete) == 1
    key, facts = one_of(scene.archived())
    needed = {one.name: one for one in read_needs(scene.repository(), key)}
    assert left <= set(needed.values())
    assert catalogue(scene.repository(), "kecp").incomplete == ()
    assert set(needed) == set(facts.blobs)


def test_a_deploy_is_followed_by_it_and_never_fails_by_it(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.released(9, web="9")
    sources = {"kecp": scene.source.settings, "other": scene.source.settings.model_copy(update={"platform": "other"})}
    steps = InShell(silent)

    def follow(repository: Repository) -> list[str]:
        opened = back_up_after_deploy("small", sources, lambda name: scene.source, lambda _: repository, "test", steps)
        return list(opened)

    (reported,) = follow(scene.repository())
    assert reported.startswith("kecp was stored after it, as kecp/image/")
    assert follow(scene.repository()) == ["kecp is stored as it is."]
    scene.released(1, web="1")  # another release runs
    away = replace(
        scene.repository(), store=open_store("away", FolderStore(path=str(tmp_path / "away"), mount=str(tmp_path)))
    )
    (reported,) = follow(away)
    assert reported.startswith("The release runs; kecp was not stored after it:")

    def broken(name: str) -> ImagesSource:
        raise TypeError(name)

    (reported,) = back_up_after_deploy("small", sources, broken, lambda _: scene.repository(), "test", steps)
    assert "kecp was not stored after it: an unexpected error (TypeError)" in reported

    config = tmp_path / "platform-ops.toml"
    config.write_text(
        f'[images.kecp]\nplatform = "small"\nstore = "nightly"\n[platforms.small]\nstore = "nightly"\n'
        f'directory = "{scene.folder}/platform"\nproject = "{scene.project}"\n'
        f'[stores.nightly]\nkind = "folder"\npath = "{scene.folder}/nightly"\n'
    )
    facts = ImagesFacts.model_validate(read_manifest(scene.repository(), newest(scene)).facts)
    lost = facts.images[max(facts.images)]
    scene.docker.call(("docker", "image", "rm", "--force", lost.tag, lost.reference))
    assert main(["--config", str(config), "image", "restore", "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["result"]["restored"]
    assert made["counts"]["image"] == len(facts.images)
    assert scene.docker.image(lost.tag).id == scene.docker.image(lost.reference).id == f"sha256:{lost.id}"
    assert main(["--config", str(config), "verify"]) == 0
    assert main(["--config", str(config), "check"]) == 0
    assert "kecp    image  nightly  recorded" in capsys.readouterr().out
    assert main(["--config", str(config), "show", "newest", "--source", "kecp"]) == 0
    assert lost.reference in capsys.readouterr().out
    for more, shown in (((), False), (("--all",), True)):
        assert main(["--config", str(config), "list", *more]) == 0
        assert ("blob " in capsys.readouterr().out) == shown


def test_as_flows(scene: Scene, prefect_server: str) -> None:
    """Archived, and loaded again where an image is gone."""
    scene.released(2, web="2b")
    source_block(IMAGES).of(scene.source.settings).save("kecp", overwrite=True)
    Platform.of(scene.source.platform.settings).save("small", overwrite=True)
    BackupStore.of(FolderStore(path=str(scene.folder / "nightly"))).save("nightly", overwrite=True)
    assert image_archive("kecp", return_state=True).is_completed()
    facts = ImagesFacts.model_validate(read_manifest(scene.repository(), newest(scene)).facts)
    lost = facts.images[max(facts.images)]
    scene.docker.call(("docker", "image", "rm", "--force", lost.tag, lost.reference))
    state = restore_images("kecp", return_state=True)
    assert state.is_completed() and "1 image restored as 'kecp'" in str(state.message), state.message
    assert scene.docker.image(lost.tag).id == f"sha256:{lost.id}"


def test_an_image_that_was_asked_for_by_digest_is_found_again_by_its_restore(scene: Scene) -> None:
    """No engine knows a registry's digest of what was loaded, so the restore remembers which image it was."""
    release, site, docker = scene.released(3, web="3e"), scene.source.platform.site, scene.docker
    service = release.services["web"]
    by_digest = f"127.0.0.1:9/web@sha256:{'0' * 64}"  # nobody answers there
    changed = {"web": service.model_copy(update={"reference": by_digest})}
    records.write(site, release.model_copy(update={"services": changed, "state": "good"}))
    key, _ = one_of(scene.archived())
    docker.call(("docker", "image", "rm", "--force", service.image, service.reference))
    with pytest.raises(ConfigurationError, match="cannot be fetched"):
        _fetched(docker, site, "web", by_digest, silent)
    scene.source.restore(
        scene.repository(), read_manifest(scene.repository(), key), "", in_place=False, progress=silent
    )
    assert _fetched(docker, site, "web", by_digest, silent).id == service.image_id
