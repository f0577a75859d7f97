"""The journal, the run folders, and every question that can be asked of them."""

from sweeper.records.claims import Claim, claim, read_claims
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
from sweeper.records.lookup import find_group, find_run, latest_group
from sweeper.records.metrics import append_rows, last_values, read_progress, read_rows
from sweeper.records.outcomes import SETTLED, Cause, CauseKind, Outcome
from sweeper.records.queries import BadEnd, crashed, snapshot, status
from sweeper.records.reader import GroupReader
from sweeper.records.shards import WHOLE, Shard
from sweeper.records.state import STANDINGS, Attempt, GroupState, Launch, RunState, Wave

__all__ = [
    "SETTLED",
    "STANDINGS",
    "WHOLE",
    "Attempt",
    "BadEnd",
    "Cause",
    "CauseKind",
    "Claim",
    "GroupFolder",
    "GroupReader",
    "GroupState",
    "Journal",
    "JournalWriter",
    "Launch",
    "Outcome",
    "RunFolder",
    "RunState",
    "Shard",
    "Wave",
    "append_rows",
    "claim",
    "crashed",
    "find_group",
    "find_run",
    "fold",
    "groups",
    "last_values",
    "latest_group",
    "make_folder",
    "read_claims",
    "read_events",
    "read_journal",
    "read_json",
    "read_progress",
    "read_rows",
    "snapshot",
    "status",
    "write_atomically",
]
