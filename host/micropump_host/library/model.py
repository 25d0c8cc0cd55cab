"""What a drug library is: drugs, how each may be used where, and the limits of that.

A limit's value is exact, and counted in the base of its unit (``LimitUnit``), as the pump compares
it: µL, ng, milliunits or s, by kg and by time. How a person wrote it is kept beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from micropump import program

# How programs are named in a library, by their number in the core. A purge is nobody's dose.
PROGRAMS = {
    "continuous": program.CONTINUOUS,
    "intermittent": program.INTERMITTENT,
    "ramp": program.RAMP,
    "stepped": program.STEPPED,
    "pca": program.PCA,
}

# Ascending, as the figures of a limit have to be.
LEVELS = ("lower_hard", "lower_soft", "typical", "upper_soft", "upper_hard")

KINDS = (
    "rate",
    "dose",
    "bolus",
    "demand",
    "loading",
    "duration",
    "daily",
    "lockout",
    "window_1h",
    "window_4h",
    "kvo",
)

VOLUME, MASS, UNITS, TIME = "volume", "mass", "units", "time"
AMOUNTS = (VOLUME, MASS, UNITS, TIME)

HOURS = {"min": Fraction(1, 60), "h": Fraction(1), "day": Fraction(24)}


GREATEST_ID_CHARACTERS = 24
GREATEST_NAME_BYTES = 32
GREATEST_CARE_AREAS = 8
GREATEST_DRUGS = 255
GREATEST_CONCENTRATIONS = 8
GREATEST_VERSION = 0xFFFFFFFF


@dataclass(frozen=True)
class LimitUnit:
    """What limits are counted in.

    Attributes:
        amount: ``VOLUME`` (counted in µL), ``MASS`` (ng), ``UNITS`` (milliunits)
            or ``TIME`` (s).
        per_kg: whether by body weight.
        per_time: "", "min", "h" or "day".

    """

    amount: str
    per_kg: bool = False
    per_time: str = ""

    @property
    def code(self) -> int:
        """Bits 0–1 the amount, bit 2 by kg, bits 3–4 none, by minute, by hour, by day."""
        per_time = ("", "min", "h", "day").index(self.per_time)
        return AMOUNTS.index(self.amount) | self.per_kg << 2 | per_time << 3

    @classmethod
    def of_code(cls, code: int) -> "LimitUnit":
        """Return the unit of a code; raises IndexError if there is none."""
        return cls(AMOUNTS[code & 3], bool(code & 4), ("", "min", "h", "day")[code >> 3])

    @property
    def divisor(self) -> str:
        """What the amount is divided by, as "/kg/min"."""
        return ("/kg" if self.per_kg else "") + (f"/{self.per_time}" if self.per_time else "")


@dataclass(frozen=True)
class Level:
    """One figure of a limit.

    Attributes:
        name: one of ``LEVELS``.
        value: exactly, in the base of the limit's unit.
        text: as it was written.
        line: where, from 1; 0 where that is not known.

    """

    name: str
    value: Fraction
    text: str
    line: int = 0


@dataclass(frozen=True)
class Limit:
    """What one figure of a program may be.

    Attributes:
        kind: one of ``KINDS``.
        unit: of all its levels.
        levels: at least one, in the order of ``LEVELS``.
        source: where its figures come from.
        line: where it stands, from 1; 0 where that is not known.

    """

    kind: str
    unit: LimitUnit
    levels: tuple[Level, ...]
    source: str = ""
    line: int = 0

    def level(self, name: str) -> Level | None:
        """Return a level; None where it is not set."""
        return next((level for level in self.levels if level.name == name), None)


@dataclass(frozen=True)
class DrugConcentration:
    """How much of a drug is in a millilitre.

    Attributes:
        per_ml: exactly, in ng (``MASS``) or milliunits (``UNITS``).
        amount: ``MASS`` or ``UNITS``.
        text: as it was written.

    """

    per_ml: Fraction
    amount: str
    text: str


@dataclass(frozen=True)
class Use:
    """How a drug may be given in some care areas.

    Attributes:
        care_areas: their ids, at least one.
        concentrations: what it may be diluted to; none where everything is by volume.
        programs: what may be programmed, of ``PROGRAMS``.
        dosing: the unit in which rates are prescribed and shown.
        dosing_text: the same as it was written, "mcg/kg/min".
        limits: at most one of each kind; that of the KVO rate among them where it is limited.
        kvo: "rule", "off" or "limit".
        air_ul: the single bubble that is an alarm; None for the pump's own setting.
        occlusion_kpa: the pressure that is an occlusion; None for the pump's own setting.
        line: where it stands, from 1; 0 where that is not known.

    """

    care_areas: tuple[str, ...]
    concentrations: tuple[DrugConcentration, ...]
    programs: tuple[str, ...]
    dosing: LimitUnit
    dosing_text: str
    limits: tuple[Limit, ...]
    kvo: str = "rule"
    air_ul: int | None = None
    occlusion_kpa: int | None = None
    line: int = 0

    def limit(self, kind: str) -> Limit | None:
        """Return the limit of a kind; None where there is none."""
        return next((limit for limit in self.limits if limit.kind == kind), None)


@dataclass(frozen=True)
class Drug:
    """A drug.

    Attributes:
        drug_id: kebab-case, up to 24 characters; the name of its file.
        name: up to 32 bytes.
        group: as "opioid"; may be empty.
        source: of what its limits do not say themselves.
        uses: no two of them for the same care area.
        file: where it was read from; may be empty.

    """

    drug_id: str
    name: str
    group: str
    source: str
    uses: tuple[Use, ...]
    file: str = ""

    def use_in(self, care_area: str) -> Use | None:
        """Return how it is used in a care area; None where it is not."""
        return next((use for use in self.uses if care_area in use.care_areas), None)


@dataclass(frozen=True)
class Library:
    """A drug library.

    Attributes:
        library_id: kebab-case, up to 24 characters.
        name: what people call it.
        version: from 1; a pump can be told not to go back.
        care_areas: name of each by its id, in the order of the file; at most 8.
        drugs: by their ids, ascending; at most 255.
        source: the folder it was read from; may be empty.

    """

    library_id: str
    name: str
    version: int
    care_areas: Mapping[str, str]
    drugs: tuple[Drug, ...]
    source: str = ""

    def drug(self, drug_id: str) -> Drug | None:
        """Return a drug; None where there is none of that id."""
        return next((drug for drug in self.drugs if drug.drug_id == drug_id), None)
