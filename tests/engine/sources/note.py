"""A kind of set, whole: text files of a folder. This is all that a new kind has to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.config.settings import Retention, SourceSettings
from engine.errors import ConfigurationError
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Compared, Difference, Findings
from engine.repository.reading import read_small
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.base import Held, Restored, Source, SourceType
from engine.sources.item import Item, Run
from engine.sources.kind import Facts, Kind


class NotebookSettings(SourceSettings):
    folder: str


class NoteFacts(Facts):
    letters: int


class Notebook(Source):
    def __init__(self, name: str, settings: NotebookSettings, host: HostSettings) -> None:
        self.name, self.settings, self.folder = name, settings, Path(settings.folder)

    @contextmanager
    def lock(self, label: str) -> Iterator[Held]:
        yield self  # nobody takes it away

    def require(self) -> None: ...

    def items(self) -> Sequence[Item]:
        return [Item(NOTE.name, path.stem, path.stat().st_size) for path in sorted(self.folder.glob("*.txt"))]

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> NoteFacts:
        text = (self.folder / f"{item.name}.txt").read_text()
        out.add("note.txt", text.encode(), "text")
        return NoteFacts(letters=len(text))

    def taken(self, name: str) -> bool:
        return (self.folder / f"{name}.txt").exists()

    def restore(self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress) -> Restored:
        path, kept = self.folder / f"{into}.txt", f"{into}-before" if self.taken(into) else ""
        text = read_small(repository, body, body.of_roles("text")[0])
        if kept and not in_place:
            raise ConfigurationError(f"There is a note {into!r}.")
        if kept:
            path.rename(self.folder / f"{kept}.txt")
        path.write_bytes(text)
        return Restored(body.key, into, kept, NOTE.facts_of(body).counts())


def _prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    expected = NOTE.facts_of(body)
    found = NoteFacts(letters=len(read_small(repository, body, body.of_roles("text")[0]).decode()))
    findings.restored()
    findings.noun = NOTE.noun
    findings.compared = (Compared(name=body.name, differences=found != expected, counts={"letter": found.letters}),)
    if found != expected:
        seen = {"expected": str(expected), "found": str(found)}
        findings.differences = (Difference(where=body.name, kind="note", name="letters", **seen),)


NOTE = Kind("note", "note", NoteFacts, Retention(days=3, minimum=1), max_age_hours=5)
NOTEBOOK = SourceType(
    "notebooks", "notebook", "Notebook", (NOTE,), NotebookSettings, Notebook, _prove, restore_flow="restore-notes"
)
