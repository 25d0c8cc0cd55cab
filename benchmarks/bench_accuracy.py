"""How long the accuracy computation takes: reading a file, and computing from its samples.

Run it as ``python benchmarks/bench_accuracy.py``. The last row has as many grid points as
samples, which is the most that one record can ask for.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from micropump_host.accuracy.iec import analyse
from micropump_host.accuracy.method import VOLUMETRIC, Method, adapted
from micropump_host.accuracy.record import Record, load_record

RATE_ML_H = 5.0
HOURS = 2.5
REPEATS = 3


def write_record(path: Path, samples: int) -> None:
    """Write a record of 2.5 h at 5 mL/h with a ripple of 3 %."""
    time_s = np.linspace(0.0, HOURS * 3600, samples)
    ripple_ml = 0.03 * RATE_ML_H / 3600 * np.cumsum(np.sin(time_s / 80)) * (time_s[1] - time_s[0])
    mass_g = 20.0 + 0.998 * (RATE_ML_H * time_s / 3600 + ripple_ml)
    np.savetxt(
        path,
        np.column_stack([time_s, mass_g]),
        fmt=("%.6f", "%.6f"),
        delimiter=",",
        header="t_s,mass_g",
        comments="",
    )


def seconds_to_read(path: Path) -> tuple[float, Record]:
    """Return the shortest of a few readings of a file, in seconds, and its record."""
    best_s = float("inf")
    for _ in range(REPEATS):
        begin = time.perf_counter()
        record = load_record(path)
        best_s = min(best_s, time.perf_counter() - begin)
    return best_s, record


def seconds_to_compute(record: Record, method: Method) -> float:
    """Return the shortest of a few computations, in seconds."""
    best_s = float("inf")
    for _ in range(REPEATS):
        begin = time.perf_counter()
        analyse(record, RATE_ML_H, method)
        best_s = min(best_s, time.perf_counter() - begin)
    return best_s


def main() -> None:
    """Print a table of samples, grid points and seconds."""
    print(f"{'samples':>9} {'grid points':>11} {'read s':>8} {'compute s':>9}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.csv"
        for samples in (10_000, 100_000, 1_000_000):
            write_record(path, samples)
            read_s, record = seconds_to_read(path)
            _print_row(samples, VOLUMETRIC, read_s, record)
        # 2.5 h in 900,000 intervals: windows and periods are still whole numbers of them.
        fine = adapted(VOLUMETRIC, sample_interval_min=HOURS * 60 / 900_000)
        _print_row(samples, fine, read_s, record)


def _print_row(samples: int, method: Method, read_s: float, record: Record) -> None:
    compute_s = seconds_to_compute(record, method)
    points = round(HOURS * 60 / method.sample_interval_min) + 1
    print(f"{samples:>9} {points:>11} {read_s:>8.3f} {compute_s:>9.4f}")


if __name__ == "__main__":
    main()
