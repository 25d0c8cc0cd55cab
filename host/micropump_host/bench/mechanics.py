"""From the firmware's catalogue to the ideal mechanism that a plant is built around."""

from micropump import catalogue
from micropump.mechanism import KIND_SYRINGE, Mechanism
from micropump_host.bench.plant import PeristalticGeometry, SyringeGeometry


def geometry_of(mechanism: Mechanism) -> SyringeGeometry | PeristalticGeometry:
    """The geometry of a mechanism, from the same rows that the firmware works with."""
    if mechanism.kind == KIND_SYRINGE:
        item = _row(catalogue.SYRINGE_COLUMNS, catalogue.SYRINGES, mechanism.item_id)
        drive = _row(catalogue.SYRINGE_DRIVE_COLUMNS, catalogue.SYRINGE_DRIVES, mechanism.drive_id)
        return SyringeGeometry(
            bore_mm=item["inner_diameter_um"] / 1000,
            lead_mm=drive["lead_um"] / 1000,
            microsteps_per_rev=mechanism.steps_per_rev,
            gear_ratio=drive["gear_num"] / drive["gear_den"],
        )
    item = _row(catalogue.PERISTALTIC_HEAD_COLUMNS, catalogue.PERISTALTIC_HEADS, mechanism.item_id)
    drive = _row(catalogue.HEAD_DRIVE_COLUMNS, catalogue.HEAD_DRIVES, mechanism.drive_id)
    return PeristalticGeometry(
        ml_per_rev=item["nl_per_rev"] / 1e6,
        rollers=item["rollers"],
        microsteps_per_rev=mechanism.steps_per_rev,
        gear_ratio=drive["gear_num"] / drive["gear_den"],
    )


def steps_per_rev(kind: int, drive_id: str) -> int:
    """Microsteps in a turn of the motor of a drive."""
    is_syringe = kind == KIND_SYRINGE
    columns = catalogue.SYRINGE_DRIVE_COLUMNS if is_syringe else catalogue.HEAD_DRIVE_COLUMNS
    drives = catalogue.SYRINGE_DRIVES if is_syringe else catalogue.HEAD_DRIVES
    drive = _row(columns, drives, drive_id)
    turn: int = drive["steps_per_rev"] * drive["microsteps"]
    return turn


def _row(columns: tuple[str, ...], table: tuple[tuple, ...], row_id: str) -> dict:  # type: ignore[type-arg]
    return next(dict(zip(columns, row, strict=True)) for row in table if row[0] == row_id)
