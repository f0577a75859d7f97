"""What a launch of a sweep file leaves alone although it may not be what the user wants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sweeper.launch.work import Prepared, SweepFile
from sweeper.records.code import (
    changed_files,
    files_text,
    is_trained,
    missing_folders,
    missing_text,
    trained_by,
)

__all__ = ["Notes", "notes_on"]


@dataclass(frozen=True)
class Notes:
    """Runs that are left alone: by standing those that other code trained, and lost folders.

    `changed` are the files in which that code differs from today's.
    """

    file: str = "FILE"
    other_code: tuple[tuple[str, int], ...] = ()
    changed: tuple[str, ...] = ()
    without_folder: tuple[str, ...] = ()
    all_settled: bool = False
    """Whether all runs that were chosen are left alone."""

    def plain(self) -> dict[str, Any]:
        """As a mapping for JSON."""
        return {
            "other_code": {"runs": dict(self.other_code), "changed": list(self.changed)},
            "without_folder": list(self.without_folder),
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """A sentence each, with what the user can do."""
        lines = []
        if self.all_settled:
            lines.append(
                "nothing to train: each of these runs has finished, diverged or runs elsewhere; "
                "--again trains those again that have ended"
            )
        if self.other_code:
            total = sum(count for _, count in self.other_code)
            counts = " and ".join(f"{count} {word}" for word, count in self.other_code)
            where = f" (changed: {files_text(self.changed)})" if self.changed else ""
            lines.append(
                f"{counts} {'run was' if total == 1 else 'runs were'} trained by other code than "
                f"today's{where}; `sweep launch {self.file} --again` trains "
                f"{'it' if total == 1 else 'them'} again"
            )
        if self.without_folder:
            lines.append(missing_text(self.without_folder, self.file))
        return tuple(lines)


def notes_on(prepared: Prepared) -> Notes:
    """What there is to say of the runs that a launch of a sweep file leaves alone."""
    work, today = prepared.work, prepared.sources.digest
    if not isinstance(work, SweepFile):
        return Notes()
    known = prepared.state.runs
    settled = [known[spec.id] for spec in prepared.plan.settled if spec.id in known]
    others = [
        run
        for run in settled
        if today and is_trained(run) and trained_by(run) and trained_by(run) != (today,)
    ]
    digests = sorted({digest for run in others for digest in trained_by(run)})
    return Notes(
        file=str(work.sweep.path),
        other_code=tuple(sorted(Counter(run.standing for run in others).items(), reverse=True)),
        changed=tuple(changed_files(work.folder, digests, prepared.sources.files))
        if digests
        else (),
        without_folder=tuple(missing_folders(work.folder, settled)),
        all_settled=work.chosen is not None and len(prepared.plan.settled) == prepared.plan.total,
    )
