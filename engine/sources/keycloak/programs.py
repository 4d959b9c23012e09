"""How Keycloak's program is called for an export and an import, beside the server that runs in the same container.

Measured with 24.0.5. No file is made: the realm comes and goes through a pipe, also where Keycloak is told to write many
files: each of their names leads to the same pipe. The process has a cluster of its own (the
server would see a member come and go, and hand over sessions), a later turn at the processor, a small heap instead of
half of the container's memory, and is what the kernel ends first where memory runs out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MARK = "PLATFORM_OPS_EXPORT"
"""In the environment of each such process: whose it is."""
MEMORY = "/dev/shm"  # noqa: S108 - where Keycloak runs
_ALONE = "-Djgroups.bind.address=127.0.0.1 -Djgroups.mcast_port=46699 -Djgroups.join_timeout=1"
_QUICK = "-XX:TieredStopAtLevel=1"  # it runs for seconds only
_MANY = "-XX:TieredStopAtLevel=4 -XX:GCTimeRatio=19"  # it runs long enough that well compiled code pays
_LONG = "-Dquarkus.transaction-manager.default-transaction-timeout=12H"  # five minutes else, and an import is one
PER_FILE = 20
"""Users in a file, where there are files. Each file is a transaction of its own: in a single one Hibernate looks before
each query at all it has read, and the time grows with the square of the number of users."""
_BEFORE = (
    'export JAVA_OPTS_APPEND="$JAVA_OPTS_APPEND $PLATFORM_OPS_JAVA"; '
    "{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; "
)
# What writes to our stdout is a child that ends with the program's side of the pipe; the program itself is what runs.
_EXPORT = (
    _BEFORE + 'exec nice -n 10 bash "$1" export --optimized --realm "$2" --file /dev/fd/3 4>&1 1>&2 3> >(exec cat >&4)'
)
# The last document says how many files are there whose name led nowhere.
_PAGES = (
    _BEFORE
    + 'folder=/dev/shm; [ -w "$folder" ] || folder=/tmp; folder=$(mktemp -d "$folder/platform-ops-export.XXXXXX") '
    '&& ln -s /dev/fd/3 "$folder/$2-realm.json" || exit 71; for ((page = 0; page < $4; page++)); do '
    'ln -s /dev/fd/3 "$folder/$2-users-$page.json" || { rm -rf "$folder"; exit 71; }; done; '
    'exec nice -n 10 bash "$1" export --optimized --realm "$2" --dir "$folder" --users different_files '
    '--users-per-file "$3" 4>&1 1>&2 3> >(cat >&4 && { more=0; for file in "$folder"/*; do '
    '[ -L "$file" ] || more=$((more + 1)); done; echo "{\\"end\\":$more}" >&4; }; rm -rf "$folder")'
)
_IMPORT = (
    _BEFORE + 'exec nice -n 10 bash "$1" import --optimized --override "$2" --file /dev/fd/3 '
    "4<&0 3< <(exec cat <&4) 0</dev/null 1>&2"
)
# Each file a transaction of its own. They are in memory, and a child removes them when the program is gone.
_IMPORT_PAGES = (
    _BEFORE + 'umask 077; folder=$3; [ -w "$folder" ] || folder=/tmp; '
    'folder=$(mktemp -d "$folder/platform-ops-$PLATFORM_OPS_EXPORT.import.XXXXXX") || exit 71; file=realm; page=0; for size in $4; do '
    'head -c "$size" >"$folder/$2-$file.json" || { rm -rf "$folder"; exit 71; }; '
    "file=users-$page; page=$((page + 1)); done; "
    'exec nice -n 10 bash "$1" import --optimized --override false --dir "$folder" 0</dev/null 1>&2 '
    '3> >(cat >/dev/null; rm -rf "$folder")'
)


def export_argv(kc: str, realm: str) -> tuple[str, ...]:
    """Write a realm with its users to stdout; what Keycloak says goes to stderr."""
    return ("bash", "-c", _EXPORT, "platform-ops", kc, realm)


def pages_argv(kc: str, realm: str, files: int) -> tuple[str, ...]:
    """Write a realm without its users to stdout, then its users in at most so many files, all one after the other, and a
    document that says it is the end."""
    return ("bash", "-c", _PAGES, "platform-ops", kc, realm, str(PER_FILE), str(files))


def import_argv(kc: str, *, override: bool) -> tuple[str, ...]:
    """Read a realm from stdin into the database, in one transaction. `override`: in the place of the one of its name.

    It ends with 0 too where nothing came, or nothing was done: look at what is there.
    """
    return ("bash", "-c", _IMPORT, "platform-ops", kc, "true" if override else "false")


def import_pages_argv(kc: str, realm: str, folder: str, sizes: Sequence[int]) -> tuple[str, ...]:
    """Read a realm and then its users from stdin, documents of so many bytes, into files in a new folder of `folder`, and
    import those. It does nothing where the realm is there."""
    return ("bash", "-c", _IMPORT_PAGES, "platform-ops", kc, realm, folder, " ".join(map(str, sizes)))


def environment(owner: str, memory_mib: int, *, many: bool = False) -> Mapping[str, str | None]:
    """What such a process is told beside what the server is. `many`: of a realm of many users."""
    heap = f"-Xms64m -Xmx{memory_mib}m"
    speed = f"{_MANY} -Xmn{memory_mib * 3 // 8}m" if many else _QUICK
    return {MARK: owner, "JAVA_OPTS_KC_HEAP": heap, "PLATFORM_OPS_JAVA": f"{speed} {_ALONE} {_LONG}"}
