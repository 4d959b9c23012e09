"""What the shell has for one kind of things: `platformctl NOUN ...`, by noun.

Only words, so that `--help` imports no kind; the registry has the commands themselves, and a test compares the two.
"""

from __future__ import annotations

GROUPS: dict[str, str] = {
    "realm": "Restore the realms of a Keycloak, and show what changed in one.",
    "volume": "Restore volumes, beside the live ones or in place of them.",
    "certificate": "Certificates of platforms: renew, restore.",
    "image": "Images of the last good releases: restore.",
}
