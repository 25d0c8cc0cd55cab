"""Print every mechanism of the catalogue as MicroPython builds it."""

import sys

sys.path.insert(0, sys.argv[1])

from micropump import catalogue, mechanism

for kind, items, drives in (
    (mechanism.KIND_SYRINGE, catalogue.SYRINGES, catalogue.SYRINGE_DRIVES),
    (mechanism.KIND_PERISTALTIC, catalogue.PERISTALTIC_HEADS, catalogue.HEAD_DRIVES),
):
    for item in items:
        for drive in drives:
            m = mechanism.build(kind, item[0], drive[0])
            print(
                kind,
                item[0],
                drive[0],
                m.nl_num,
                m.nl_den,
                m.greatest_rate_ul_h,
                m.least_rate_ul_h,
                m.stroke_steps,
            )
