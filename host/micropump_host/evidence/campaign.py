"""Many runs over many processes, written as they come, and gone on with after an interruption.

A campaign is cut into jobs, each of which is a seed. ``runs.jsonl`` has a line for what it is of,
and then one for each job that is done; a job that is there is not done again.
"""

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import micropump
import micropump_host
import micropump_virtual
from micropump_host.errors import MicropumpError
from micropump_host.evidence.cases import (
    NOT_TO_BE_SEEN,
    SHARES,
    injected_case,
    run_injected,
)
from micropump_host.evidence.days import HOURS, PROVOKING, USUAL, name_of, run_day
from micropump_host.evidence.draw import Infusion
from micropump_host.evidence.run import Found
from micropump_host.evidence.whole import run_whole_day

RUNS = "runs.jsonl"
DAYS, PROVOKED, INJECTED, WHOLE = "days", "provoked", "injected", "whole"
WISHES = {DAYS: USUAL, PROVOKED: PROVOKING}
# Of the days, and of the injected cases, one in so many is run with other thresholds beside.
BANK_EVERY_DAYS = 10
BANK_EVERY_CASES = 4

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A part of a campaign that is run in one go.

    Attributes:
        part: ``DAYS``, ``PROVOKED``, ``INJECTED`` or ``WHOLE``.
        number: which of its days or blocks of cases.
        hours: of a day, h.
        kinds: of the cases of a block.

    """

    part: str
    number: int
    hours: float = HOURS
    kinds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the file."""
        return f"{self.part}/{self.number}"


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        device_days: of plant, sensors and detectors.
        provoked_days: the same, with more of what is easily taken for something else.
        whole_days: of the whole pump.
        injected: cases in which something happens that is to be noticed.
        seed: of all of it.

    """

    device_days: int
    provoked_days: int
    whole_days: int
    injected: int
    seed: int

    def jobs(self) -> list[Job]:
        """The jobs; each is the same whatever else is in the plan."""
        jobs = [Job(DAYS, number) for number in range(self.device_days)]
        jobs += [Job(PROVOKED, number) for number in range(self.provoked_days)]
        block = [kind for kind, count in SHARES.items() for _ in range(count)]
        # Spread, so that a part of a block has of each what is its due.
        block = [block[place * 11 % len(block)] for place in range(len(block))]
        for number, first in enumerate(range(0, self.injected, len(block))):
            kinds = tuple(block[: self.injected - first])
            jobs.append(Job(INJECTED, number, kinds=(*kinds, *NOT_TO_BE_SEEN)))
        return jobs + [Job(WHOLE, number) for number in range(self.whole_days)]


def run_job(job: Job, seed: int) -> list[Row]:
    """Run a job; a row for each infusion."""
    name = f"{seed}/{job.name}"
    if job.part in WISHES:
        with_bank = job.part == DAYS and job.number % BANK_EVERY_DAYS == 0
        return [
            {
                **_infusion_row(open_.infusion),
                "hours": round(open_.hours, 4),
                "found": [_found_row(found) for found in open_.found],
                "sweeps": open_.sweeps,
            }
            for open_ in run_day(name, job.hours, with_bank, WISHES[job.part])
        ]
    if job.part == WHOLE:
        return [
            {
                **_infusion_row(whole.infusion),
                "hours": round(whole.hours, 4),
                "alarms": whole.alarms,
                "infused_ul": whole.infused_ul,
                "line_pa": round(whole.line_pa),
                "air_stands": whole.air_stands,
            }
            for whole in run_whole_day(name, job.hours)
        ]
    return [_case_row(kind, f"{name}/{at}", job) for at, kind in enumerate(job.kinds)]


def _case_row(kind: str, seed: str, job: Job) -> Row:
    case = injected_case(kind, random.Random(seed))
    outcome = run_injected(case, job.number % BANK_EVERY_CASES == 0)
    found = outcome.found
    return {
        "kind": kind,
        "counts": kind not in NOT_TO_BE_SEEN,
        **_infusion_row(case.infusion),
        "at_s": round(case.at_s, 1),
        "within_s": round(case.within_s, 1),
        "level_s": round(case.level_s, 1),
        "spoilt": any(alarm.name in case.names for alarm in outcome.before),
        "before": [_found_row(alarm) for alarm in outcome.before],
        "found": found.name if found else None,
        "by_slope": found.by_slope if found else False,
        "after_s": round(outcome.after_s, 1),
        "sweeps": outcome.sweeps,
    }


def _infusion_row(infusion: Infusion) -> Row:
    return {
        "item": infusion.mechanism.item_id,
        "drive": infusion.mechanism.drive_id,
        "gauge": infusion.gauge,
        "rate_ml_h": round(infusion.rate_ul_h / 1000.0, 3),
        "level_kpa": infusion.level_kpa,
        "bubble_ul": infusion.bubble_ul,
        "interval_s": infusion.bench.sensors.interval_s,
    }


def _found_row(found: Found) -> Row:
    return {
        "name": found.name,
        "counted_as": name_of(found),
        "at_s": found.at_s,
        "line_pa": round(found.line_pa),
        "by_slope": found.by_slope,
    }


@cache
def digest() -> str:
    """A name for what is run: the firmware's core and all of the bench, byte for byte, at first."""
    hashed = hashlib.sha256()
    for folder in (
        *micropump.__path__,
        *micropump_virtual.__path__,
        *(f"{path}/bench" for path in micropump_host.__path__),
        *(f"{path}/evidence" for path in micropump_host.__path__),
    ):
        for path in sorted(Path(folder).rglob("*.py")):
            hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


def run_campaign(
    plan: Plan, folder: Path, processes: int, told: Callable[[Job], None]
) -> dict[str, list[Row]]:
    """Run what is not yet in the folder's file.

    Args:
        plan: what.
        folder: of the file; it is made.
        processes: how many at once; 1 is this one.
        told: of each job that is done, those of the file first.

    Returns:
        The rows of each job of the plan, by its name.

    Raises:
        MicropumpError: where the file is of another seed or of other firmware, or cannot be
            written.

    """
    path = folder / RUNS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = _read(path, {"seed": plan.seed, "digest": digest()})
        with path.open("a", encoding="utf-8") as file:
            jobs = plan.jobs()
            for job in jobs:
                if job.name in done:
                    told(job)
            todo = [job for job in jobs if job.name not in done]
            for job, rows in _results(todo, plan.seed, processes):
                done[job.name] = rows
                file.write(json.dumps({"job": job.name, "rows": rows}) + "\n")
                file.flush()
                told(job)
    except OSError as error:
        raise MicropumpError(
            f"the runs cannot be written ({error.strerror})", str(path), "Choose another DIR."
        ) from None
    return {job.name: done[job.name] for job in jobs}


def _results(jobs: list[Job], seed: int, processes: int) -> Iterator[tuple[Job, list[Row]]]:
    if processes == 1:
        for job in jobs:
            yield job, run_job(job, seed)
        return
    with ProcessPoolExecutor(processes) as pool:
        waiting = {pool.submit(run_job, job, seed): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            # Whoever interrupts does not wait for the rest.
            pool.shutdown(wait=False, cancel_futures=True)


def _read(path: Path, header: Row) -> dict[str, list[Row]]:
    """The jobs of a file; a new one gets its header."""
    if not path.exists():
        path.write_text(json.dumps(header) + "\n", encoding="utf-8")
        return {}
    lines = _whole_lines(path)
    first = next(lines, None)
    if first != header:
        raise MicropumpError(
            "these runs are of another seed, or of other firmware or benches",
            str(path),
            "Choose another DIR, or take the file away.",
        )
    return {line["job"]: line["rows"] for line in lines}


def _whole_lines(path: Path) -> Iterator[Row]:
    """Lines that are JSON; one that was cut off by an interruption is taken away."""
    text = path.read_text(encoding="utf-8")
    whole, _, rest = text.rpartition("\n")
    if rest:
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    return iter([json.loads(line) for line in whole.splitlines()])


def default_processes() -> int:
    """One for each core of this computer."""
    return max(1, os.cpu_count() or 1)
