"""What the manifest of a certificate's set says. It holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from engine.config.settings import Retention
from engine.sources.kind import Facts, Kind
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.sources.certificates.pair import Pair


class CertificateFacts(Facts):
    """`fingerprint` is the certificate's SHA-256, as hex; `key_kind` such as `EC 256`."""

    platform: str
    names: tuple[str, ...]
    issuer: str
    fingerprint: str
    begins: datetime
    ends: datetime
    key_kind: str

    @classmethod
    def of(cls, platform: str, pair: Pair) -> CertificateFacts:
        return cls(
            platform=platform,
            names=pair.names,
            issuer=pair.issuer,
            fingerprint=pair.fingerprint,
            begins=pair.begins,
            ends=pair.ends,
            key_kind=pair.key_kind,
        )

    def shown(self) -> tuple[tuple[str, str], ...]:
        return (
            ("platform", self.platform),
            ("names", ", ".join(self.names)),
            ("issued by", self.issuer),
            ("valid", f"{readable_time(self.begins)} to {readable_time(self.ends)}"),
            ("fingerprint", self.fingerprint),
            ("key", self.key_kind),
        )

    def counts(self) -> Mapping[str, int]:
        return {"host name": len(self.names)}

    def cells(self) -> Mapping[str, str]:
        return {"valid until": readable_time(self.ends)}


CERTIFICATE = Kind(
    "certificate", "certificate", CertificateFacts, Retention(days=400, minimum=3), named=False, max_age_hours=26
)
"""It is stored when it changed, and looked at each day: a look that finds it as it was counts (repository/unchanged)."""
