"""Judge a program of each kind by the limits of a library; the same on both interpreters.

Words: firmware directory, image. Prints what each program gives in its best day, and what is
beyond a limit of every eighth drug, for a patient of 70 kg.
"""

import sys

sys.path.insert(0, sys.argv[1])

from micropump import governor, library
from micropump.program import CONTINUOUS, INTERMITTENT, PCA, RAMP, STEPPED
from micropump.therapy import KVO_BY_RULE

SETUP = {"content_ul": 500_000, "containers": 2, "delay_s": 600, "kvo_ul_h": KVO_BY_RULE}
ORDERS = (
    (CONTINUOUS, {
        "rate_ul_h": 7_001, "vtbi_ul": 250_000, "duration_s": 0, "loading_ul": 333,
        "loading_ul_h": 59_999,
    }),
    (INTERMITTENT, {
        "dose_ul": 7_777, "rate_ul_h": 0, "duration_s": 1_801, "interval_s": 10_007, "doses": 50,
        "times": [], "clock_s": 86_400,
    }),
    (INTERMITTENT, {
        "dose_ul": 7_777, "rate_ul_h": 31_000, "duration_s": 0, "interval_s": 0, "doses": 2,
        "times": [(60,), (700,), (1_300,)], "clock_s": 43_210,
    }),
    (RAMP, {"vtbi_ul": 400_000, "duration_s": 170_000, "up_s": 7_201, "down_s": 50_000}),
    (STEPPED, {"vtbi_ul": 0, "steps": [(7_919, 100_003, 0), (104_729, 5_003, 0), (1_299, 0, 777)]}),
    (PCA, {
        "vtbi_ul": 30_000, "rate_ul_h": 1_000, "demand_ul": 1_000, "demand_ul_h": 60_000,
        "lockout_s": 360, "window_1_s": 3_600, "limit_1_ul": 9_000, "window_2_s": 10_000,
        "limit_2_ul": 20_000, "loading_ul": 500, "loading_ul_h": 60_000,
    }),
)  # fmt: skip


def read(offset, length):
    """From the file, as from a flash partition."""
    image.seek(offset)
    return image.read(length)


image = open(sys.argv[2], "rb")  # noqa: PTH123, SIM115 (MicroPython has no pathlib)
held = library.Library(read)
for kind, fields in ORDERS:
    order = dict(SETUP)
    order.update(fields)
    # The second program of doses at times of the day goes by a name of its own.
    name = "times" if fields.get("times") else kind
    numerator, denominator = governor.daily_ul(order, kind)
    print(name, "daily", numerator * 1000 // denominator)
    for drug in range(0, held.drugs, 8):
        # Whatever the library says of programs: all of them are to be judged here.
        limits = held.limits_of(drug, 0)
        limits.programs = 0xFF
        concentration = held.concentration(drug, 0)
        print(name, "judged", governor.judge_program(limits, order, kind, concentration, 70_000))
