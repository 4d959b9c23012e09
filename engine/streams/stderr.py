"""What a program says on stderr, without what it quotes: a client of PostgreSQL repeats rows, statements and secrets.

Of an error its first line is told, and with it the object or the first words of the command it is about. DETAIL, CONTEXT,
QUERY, LINE, the body of a command and every line that goes on with the one before are not: they may hold values.
An error counts from the moment it is said: what is repeated after it, however much that is, does not push it out.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

_LINE_CHARACTERS, _SHOWN, _KEPT = 500, 3, 40
_SEVERITY = r"(?:ERROR|FATAL|PANIC): "
_PLACE = r"(?:psql:\S*:\d+: )?"
_ERROR = re.compile(rf"{_PLACE}{_SEVERITY}|(?:psql|pg_\w+|initdb|createdb): (?:error|fatal): |psql:\S*:\d+: error: ")
_ABOUT = "pg_restore: from TOC entry "
_FROM_SERVER = re.compile(r"pg_\w+: detail: Error message from server: ")
"""Of a COPY that broke off pg_dump says so first, and why only here (dumpTableData_copy in pg_dump.c)."""
_VERBS = "ALTER|CALL|CLUSTER|COMMENT|COPY|CREATE|DROP|EXECUTE|GRANT|LOCK|REFRESH|REVOKE|SECURITY|SELECT|SET"
_COMMAND = re.compile(
    rf"(?:pg_\w+: detail: )?(?P<what>Command|Query) was: (?P<words>(?:{_VERBS})\b[^'\"($;,=]{{0,79}})"
)
"""Up to where a value may stand: names and words are told, constants are not."""
_OF_POSTGRES = re.compile(rf"{_PLACE}[A-Z]+: |(?:psql|pg_\w+): |Command was: ")
_LOUD = re.compile(rf"{_PLACE}(?:WARNING|ERROR|FATAL|PANIC): |(?:psql|pg_\w+|initdb): |psql:\S*:\d+: |server closed ")
_AFTER_COLON = re.compile(r'(?<=: )".*')
_NAMED_VALUE = re.compile(r'(?<=\bvalue )"[^"]*"')
_LITERAL = re.compile(r'".*"(?= is (?:out of range|not a valid|not a number)\b)|(?<=\binvalid symbol )".*"')
_NEAR = re.compile(r'(?<=\bat or near )".*"')
"""A word of the statement that a function put together: a constant in it may come from a row."""
_UNENDED = re.compile(r'(?<=")[^"]*$')
"""After the last quote of a line with an odd number of them: it was cut, or the value goes on in the next one."""
_BYTES = re.compile(r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")


def reason(text: str) -> str:
    """The first line of an error of PostgreSQL's, in one line, without the values that some messages end in."""
    line = " ".join(text.split("\n", 1)[0].split())[:_LINE_CHARACTERS]
    if line.count('"') % 2:
        line = _UNENDED.sub("(not shown)", line) + '"'
    for pattern in (_AFTER_COLON, _NAMED_VALUE, _LITERAL, _NEAR, _BYTES):
        line = pattern.sub("(not shown)", line)
    return line


def summary(stderr: str) -> str:
    """What may be shown of all that a program said; '' when it said nothing."""
    lines = StderrSummary()
    for line in stderr.splitlines():
        lines.add(line)
    return lines.text()


class StderrSummary:
    """What a program says, line by line. Memory is bounded, whatever it says."""

    def __init__(self) -> None:
        self._about = self._error = self._from_server = self._command = ""
        self._of_postgres = False
        self._tail: deque[str] = deque(maxlen=_SHOWN)
        self._loud: deque[str] = deque(maxlen=_KEPT)

    def add(self, line: str) -> None:
        line = line.rstrip()[:_LINE_CHARACTERS]
        if not line:
            return
        self._of_postgres = self._of_postgres or bool(_OF_POSTGRES.match(line))
        if _LOUD.match(line):
            self._loud.append(line)
        if self._error:
            self._more(line)
        elif _ERROR.match(line):
            self._error = reason(line)
        elif line.startswith(_ABOUT):
            self._about = line
        else:
            self._tail.append(line)

    def _more(self, line: str) -> None:
        """What else is told once there is an error: why the server broke off, and which command it was."""
        if not self._from_server and (found := _FROM_SERVER.match(line)):
            self._from_server = reason(line[found.end() :])
        elif not self._command and self._error.startswith("pg_") and (found := _COMMAND.match(line)):
            self._command = f"{found['what']} was: {found['words'].strip()} ..."

    def text(self) -> str:
        """What may be shown, in one line."""
        parts: Iterable[str]
        if self._error:
            parts = (self._about, self._error, self._from_server, self._command)
        elif self._of_postgres:
            parts = (reason(line) for line in self._tail if line.startswith(("psql: ", "pg_")))
        else:
            parts = self._tail
        return "; ".join(part for part in parts if part)

    def loud(self) -> str:
        """The first lines of all warnings and errors: to look something up in, not to show."""
        return "\n".join((self._error, *self._loud, *(() if self._of_postgres else self._tail)))
