"""The journal, the run folders, and every question that can be asked of them."""

from sweeper.records.fold import fold
from sweeper.records.journal import Journal, JournalWriter, read_events, read_journal
from sweeper.records.layout import (
    GroupFolder,
    RunFolder,
    groups,
    make_folder,
    read_json,
    write_atomically,
)
from sweeper.records.lock import GroupLock, acquire, is_held
from sweeper.records.lookup import find_group, find_run, latest_group
from sweeper.records.metrics import append_rows, last_values, read_progress, read_rows
from sweeper.records.outcomes import SETTLED, Cause, CauseKind, Outcome
from sweeper.records.queries import BadEnd, crashed, snapshot, status
from sweeper.records.reader import GroupReader
from sweeper.records.state import STANDINGS, Attempt, GroupState, Launch, RunState, Wave

__all__ = [
    "SETTLED",
    "STANDINGS",
    "Attempt",
    "BadEnd",
    "Cause",
    "CauseKind",
    "GroupFolder",
    "GroupLock",
    "GroupReader",
    "GroupState",
    "Journal",
    "JournalWriter",
    "Launch",
    "Outcome",
    "RunFolder",
    "RunState",
    "Wave",
    "acquire",
    "append_rows",
    "crashed",
    "find_group",
    "find_run",
    "fold",
    "groups",
    "is_held",
    "last_values",
    "latest_group",
    "make_folder",
    "read_events",
    "read_journal",
    "read_json",
    "read_progress",
    "read_rows",
    "snapshot",
    "status",
    "write_atomically",
]
