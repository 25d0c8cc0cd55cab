"""How a delivery is judged: sample interval, observation windows and periods, as plain data.

The figures are those of IEC 60601-2-24:1998. The 2012 edition leaves the sample interval open
and AAMI TIR101:2021 changes the method again, so all of them can be set and are printed on every
plot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from micropump_host.errors import UsageError

_WHOLE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Method:
    """One way of judging a delivery.

    Attributes:
        kind: ``syringe``, ``volumetric`` or ``ambulatory``.
        sample_interval_min: S, in minutes.
        windows_min: observation windows P, in minutes, increasing.
        startup_min: length of the start-up period T0 from the start of the infusion, in minutes.
        from_min: beginning of the analysis period T1, in minutes from the start.
        to_min: its end.
        t2_length_min: length of T2, the last part of the record, in minutes; None where the kind
            has no T2.
        windows_are_given: whether the user chose the windows. Windows of the standard that do not
            fit are left out with a note; windows of the user that do not fit are an error.

    """

    kind: str
    sample_interval_min: float
    windows_min: tuple[float, ...]
    startup_min: float
    from_min: float
    to_min: float
    t2_length_min: float | None = None
    windows_are_given: bool = False

    def intervals(self, duration_min: float) -> int | None:
        """Return how many sample intervals a duration has, None if not a whole number."""
        count = duration_min / self.sample_interval_min
        whole = round(count)
        return whole if math.isclose(count, whole, abs_tol=_WHOLE_TOLERANCE) else None


SYRINGE = Method(
    kind="syringe",
    sample_interval_min=0.5,
    windows_min=(2.0, 5.0, 11.0, 19.0, 31.0),
    startup_min=120.0,
    from_min=60.0,
    to_min=120.0,
)
VOLUMETRIC = replace(SYRINGE, kind="volumetric", t2_length_min=60.0)
_AMBULATORY_LENGTH_MIN = 25 * 60.0
AMBULATORY = Method(
    kind="ambulatory",
    sample_interval_min=15.0,
    windows_min=(15.0, 60.0, 150.0, 330.0, 570.0, 930.0),
    startup_min=24 * 60.0,
    from_min=24 * 60.0,
    to_min=24 * 60.0 + _AMBULATORY_LENGTH_MIN,
)
METHODS = {method.kind: method for method in (SYRINGE, VOLUMETRIC, AMBULATORY)}


def adapted(
    method: Method,
    *,
    sample_interval_min: float | None = None,
    windows_min: Sequence[float] | None = None,
    from_min: float | None = None,
    to_min: float | None = None,
    settle_min: float | None = None,
) -> Method:
    """Return the method with the user's own figures in place of the standard's.

    Args:
        method: where to start from.
        sample_interval_min: S, in minutes.
        windows_min: observation windows P, in minutes; whole multiples of S.
        from_min: beginning of the analysis period T1, in minutes from the start of the infusion.
        to_min: its end.
        settle_min: ambulatory only: time from the start of the infusion until 25 h of analysis
            begin (24 h, or the time that half the container lasts), in minutes.

    Raises:
        UsageError: if a figure is not a positive number, the period is empty, a window or the
            period is not a whole number of sample intervals, or a window is longer than the
            period.

    """
    if settle_min is not None:
        method = _settled(method, settle_min)
    if sample_interval_min is not None:
        _check_positive("--sample-interval-min", sample_interval_min)
        method = replace(method, sample_interval_min=float(sample_interval_min))
    method = replace(
        method,
        from_min=method.from_min if from_min is None else float(from_min),
        to_min=method.to_min if to_min is None else float(to_min),
    )
    if windows_min is not None:
        for window_min in windows_min:
            _check_positive("--windows-min", window_min)
        windows = tuple(sorted({float(window) for window in windows_min}))
        method = replace(method, windows_min=windows, windows_are_given=True)
    _check_period(method)
    _check_given_windows(method)
    return method


def _settled(method: Method, settle_min: float) -> Method:
    if method.kind != AMBULATORY.kind:
        raise UsageError(
            f"a {method.kind} pump has no settling time",
            "--settle-min",
            "Use it with --kind ambulatory, or choose the period with --from-min and --to-min.",
        )
    _check_positive("--settle-min", settle_min)
    return replace(
        method,
        startup_min=float(settle_min),
        from_min=float(settle_min),
        to_min=float(settle_min) + _AMBULATORY_LENGTH_MIN,
    )


def _check_positive(option: str, value_min: float) -> None:
    if not (math.isfinite(value_min) and value_min > 0):
        raise UsageError(f"{value_min:g} min is not a time above zero", option, "Give minutes.")


def _check_period(method: Method) -> None:
    from_min, to_min, interval_min = method.from_min, method.to_min, method.sample_interval_min
    where = "--from-min, --to-min"
    if not (math.isfinite(from_min) and math.isfinite(to_min) and 0 <= from_min < to_min):
        raise UsageError(
            f"{from_min:g} to {to_min:g} min is not a period",
            where,
            "Give minutes from the start of the infusion, the end after the beginning.",
        )
    if method.intervals(from_min) is None or method.intervals(to_min) is None:
        raise UsageError(
            f"{from_min:g} to {to_min:g} min is not whole sample intervals of {interval_min:g} min",
            where,
            "Choose --from-min and --to-min as multiples of the sample interval.",
        )


def _check_given_windows(method: Method) -> None:
    if not method.windows_are_given:
        return
    length_min = method.to_min - method.from_min
    if not method.windows_min:
        raise UsageError("there are no windows", "--windows-min", "Give minutes, as in 2,5,11.")
    for window_min in method.windows_min:
        if not method.intervals(window_min):
            raise UsageError(
                f"a window of {window_min:g} min is not a whole number of sample intervals of "
                f"{method.sample_interval_min:g} min",
                "--windows-min",
                "Choose multiples of the sample interval.",
            )
        if window_min > length_min + _WHOLE_TOLERANCE:
            raise window_too_long(window_min, length_min)


def window_too_long(window_min: float, length_min: float) -> UsageError:
    """Return the error for a window that the user gave and that the period cannot hold."""
    return UsageError(
        f"a window of {window_min:g} min is longer than the analysis period of {length_min:g} min",
        "--windows-min",
        "Choose shorter windows, or a longer period with --from-min and --to-min.",
    )
