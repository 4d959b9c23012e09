"""`python -m demo.launch ROOT NAME PROGRAM [ARGUMENT...]`: record this process, then become the program.

The process writes its own pid and start time into state.json before it turns into what it is for, and
exec keeps both. So nothing runs that is not recorded, even if `make demo` is killed at any moment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from demo.layout import Layout
from demo.state import record_process
from engine.hosts.processes import ProcessIdentity


def main(arguments: list[str]) -> None:
    root, name, *argv = arguments
    record_process(Layout(Path(root)), name, ProcessIdentity.current())
    os.execv(argv[0], argv)  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main(sys.argv[1:])
