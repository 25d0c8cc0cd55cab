"""The source of a library: from a folder to a ``Library``, with all that is wrong told at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from micropump_host.library.agree import check_drug, check_use
from micropump_host.library.figures import WANTED, read_concentration, read_dosing, read_figure
from micropump_host.library.model import (
    GREATEST_CARE_AREAS,
    GREATEST_DRUGS,
    GREATEST_ID_CHARACTERS,
    GREATEST_NAME_BYTES,
    GREATEST_VERSION,
    KINDS,
    LEVELS,
    PROGRAMS,
    VOLUME,
    Drug,
    DrugConcentration,
    Level,
    Library,
    Limit,
    LimitUnit,
    Use,
)
from micropump_host.reading.file import KEBAB_CASE, UnreadableError, file_text, toml_tables
from micropump_host.reading.problems import Problem, ProblemsError
from micropump_host.reading.tables import Problems, Table, line_of, lines_of, nearest

LIBRARY_FILE = "library.toml"
DRUG_FOLDER = "drugs"

_LIBRARY_KEYS = ("id", "name", "version", "note")
_DRUG_KEYS = ("id", "name", "group", "source", "note")
_SETTINGS = {"air_ul": (10, 1_000), "occlusion_kpa": (1, 200)}
_USE_KEYS = ("care_areas", "concentrations", "programs", "dosing", "note", *KINDS, *_SETTINGS)
_LIMIT_KEYS = (*LEVELS, "source", "note")
_LIMIT_EXAMPLE = '{ upper_soft = "2 mg/h", upper_hard = "5 mg/h" }'
_AREAS_EXAMPLE = 'home-adult = "Adults at home" under [care_areas]'
_WORDS_FOR_KVO = ("rule", "off")

_Item = TypeVar("_Item")


class LibraryError(ProblemsError):
    """A library cannot be read, or does not agree with itself."""

    thing = "this library"


def load_library(folder: str | Path) -> Library:
    """Read a library: its ``library.toml`` and the files in ``drugs``.

    Raises:
        LibraryError: with all that is wrong with it, each with its file and line.

    """
    folder = Path(folder)
    if not folder.is_dir():
        remedy = "A library is a folder with library.toml and drugs/, see docs/library.md"
        raise LibraryError(str(folder), (Problem("", 0, "there is no such folder", remedy),))
    found: list[Problem] = []
    head = _library_file(folder / LIBRARY_FILE, found)
    drugs = [_drug_file(path, head, found) for path in _drug_paths(folder, found)]
    whole = [drug for drug in drugs if drug]
    _check_drugs(folder, whole, found)
    if found or head is None:
        raise LibraryError(str(folder), found)
    whole.sort(key=lambda drug: drug.drug_id)
    return Library(head.library_id, head.name, head.version, head.care_areas, tuple(whole),
                   str(folder))  # fmt: skip


@dataclass(frozen=True)
class _Head:
    """What library.toml says; ``care_areas`` is None where that cannot be read."""

    library_id: str
    name: str
    version: int
    care_areas: Mapping[str, str]


def _tables(path: Path, thing: str, found: list[Problem]) -> tuple[dict[str, Any], Problems] | None:
    """Return the tables of a file and where to note what is wrong with them."""
    try:
        text = file_text(path, thing)
        if not text.strip():
            raise UnreadableError(f"the {thing} is empty", "docs/library.md shows one")
        return toml_tables(text), Problems(lines_of(text))
    except UnreadableError as error:
        problem = error.problem
        found.append(Problem("", problem.line, problem.what, problem.remedy, str(path)))
        return None


def _keep(path: Path, problems: Problems, found: list[Problem]) -> None:
    """Add what was noted of a file, in the order of its lines."""
    for problem in sorted(problems.found, key=lambda problem: problem.line):
        found.append(Problem(problem.key, problem.line, problem.what, problem.remedy, str(path)))


def _section(
    tables: Mapping[str, Any], name: str, known: Sequence[str], problems: Problems
) -> Table:
    """Return a section whose keys are all known; an empty one where it is missing."""
    values = tables.get(name, {})
    if name not in tables:
        problems.add(f"[{name}]", "this section is missing", f"Write [{name}] and what is under it")
    elif not isinstance(values, dict):
        problems.add(name, f"{name} is a section", f"Write [{name}] on a line of its own")
        values = {}
    table = Table(name, values, problems)
    if known:
        _check_keys(table, known)
    return table


def _check_sections(
    tables: Mapping[str, Any], known: Mapping[str, str], problems: Problems
) -> None:
    """Note every section that is none of ``known``, a name and how it is written."""
    for name, value in tables.items():
        if name in known:
            continue
        if isinstance(value, dict | list):
            close = nearest(name, tuple(known), "{}")
            for section, written in known.items():
                close = close.replace(section, written)
            problems.add(f"[{name}]", "there is no such section", close)
        else:
            remedy = f"Every key stands under {' or '.join(known.values())}"
            problems.add(name, "this key stands outside of any section", remedy)


def _check_keys(table: Table, known: Sequence[str]) -> None:
    homes = {"[library]": _LIBRARY_KEYS, "[drug]": _DRUG_KEYS, "[[use]]": _USE_KEYS}
    for key in table.unknown(known):
        home = next((name for name, keys in homes.items() if key in keys), "")
        level = "" if home or key not in LEVELS else "It belongs to a limit"
        remedy = f"It belongs under {home}" if home else level or nearest(key, known)
        table.add(key, "there is no such key here", remedy)


def _words(table: Table, key: str, example: str, most_bytes: int = 0, required: bool = True) -> str:
    """Return a text that says something, no longer than it may be; empty where it is wrong."""
    if not table.given(key):
        if required:
            table.required(key, example)
        return ""
    words = table.text(key, example).strip()
    if not table.is_text(key):
        return ""
    length = len(words.encode())
    if not words:
        table.add(key, "this is empty", f"Write {key} = {example}")
    elif most_bytes and length > most_bytes:
        what = f'"{words}" has {length} bytes, more than the {most_bytes} that a pump keeps'
        table.add(key, what, "Shorten it")
    elif most_bytes and not words.isprintable():
        table.add(key, f"{words!r} cannot be shown on one line", "Leave control characters out")
    return words


def _check_id(table: Table, key: str, name: str) -> bool:
    """Whether ``name`` can be an id; a problem of the key if not."""
    if KEBAB_CASE.fullmatch(name) and len(name) <= GREATEST_ID_CHARACTERS:
        return True
    remedy = f"Write up to {GREATEST_ID_CHARACTERS} small letters, digits and hyphens"
    table.add(key, f'"{name}" cannot be an id', remedy)
    return False


def _id(table: Table, example: str) -> str:
    name = _words(table, "id", example)
    if name:
        _check_id(table, "id", name)
    return name


# -- library.toml ----------------------------------------------------------------------------------


def _library_file(path: Path, found: list[Problem]) -> _Head | None:
    read = _tables(path, LIBRARY_FILE, found)
    if read is None:
        return None
    tables, problems = read
    _check_sections(tables, {"library": "[library]", "care_areas": "[care_areas]"}, problems)
    table = _section(tables, "library", _LIBRARY_KEYS, problems)
    library_id = _id(table, '"home-infusion"')
    name = _words(table, "name", '"Home infusion"', GREATEST_NAME_BYTES)
    version = 0
    if table.required("version", "1"):
        version = table.number("version", 1, GREATEST_VERSION, 0)
    areas = _care_areas(tables, problems)
    _keep(path, problems, found)
    return _Head(library_id, name, version, areas)


def _care_areas(tables: Mapping[str, Any], problems: Problems) -> dict[str, str]:
    table = _section(tables, "care_areas", (), problems)
    areas: dict[str, str] = {}
    for area in table.values:
        _check_id(table, area, area)
        areas[area] = _words(table, area, '"Adults at home"', GREATEST_NAME_BYTES)
    if "care_areas" in tables and not areas:
        table.add("", "there is no care area", f"Write at least one, like {_AREAS_EXAMPLE}")
    if len(areas) > GREATEST_CARE_AREAS:
        what = f"{len(areas)} care areas are more than the {GREATEST_CARE_AREAS} of a library"
        table.add("", what, "Leave some out, or make two libraries of it")
    return areas


# -- drugs/*.toml ----------------------------------------------------------------------------------


def _drug_paths(folder: Path, found: list[Problem]) -> list[Path]:
    drug_folder = folder / DRUG_FOLDER
    if not drug_folder.is_dir():
        remedy = "Write one file for each drug there, see docs/library.md"
        found.append(Problem("", 0, "there is no such folder", remedy, str(drug_folder)))
        return []
    paths = []
    for path in sorted(drug_folder.iterdir()):
        if path.suffix == ".toml":
            paths.append(path)
        elif path.suffix != ".md" and not path.name.startswith("."):
            remedy = "Drugs are in files that end in .toml; move this elsewhere"
            found.append(Problem("", 0, "this is no drug file", remedy, str(path)))
    return paths


def _check_drugs(folder: Path, drugs: Sequence[Drug], found: list[Problem]) -> None:
    """Note what is wrong with the drugs as a whole: none, too many, one of them twice."""
    where = str(folder / DRUG_FOLDER)
    if not drugs and not found:
        found.append(Problem("", 0, "there is no drug", "Write a file for each", where))
    if len(drugs) > GREATEST_DRUGS:
        what = f"{len(drugs)} drugs are more than the {GREATEST_DRUGS} of a library"
        found.append(Problem("", 0, what, "Leave some out", where))
    for key, read in (("id", _drug_id), ("name", _drug_name)):
        first: dict[str, str] = {}
        for drug in drugs:
            said = read(drug)
            if said and said in first:
                what = f'{first[said]} has the {key} "{said}" too'
                remedy = f"Give each drug {'an' if key == 'id' else 'a'} {key} of its own"
                line = line_of(lines_of(file_text(drug.file, "drug file")), f"[drug] {key}")
                found.append(Problem(f"[drug] {key}", line, what, remedy, drug.file))
            first.setdefault(said, drug.file)


def _drug_id(drug: Drug) -> str:
    return drug.drug_id


def _drug_name(drug: Drug) -> str:
    return drug.name.casefold()


def _drug_file(path: Path, head: _Head | None, found: list[Problem]) -> Drug | None:
    read = _tables(path, "drug file", found)
    if read is None:
        return None
    tables, problems = read
    drug = _DrugReading(tables, problems, head.care_areas if head else {}).drug(path)
    _keep(path, problems, found)
    return drug


class _DrugReading:
    """One pass over a drug file.

    Args:
        tables: what is in it.
        problems: where to note what is wrong.
        care_areas: those of the library; none where they could not be read.

    """

    def __init__(
        self, tables: Mapping[str, Any], problems: Problems, care_areas: Mapping[str, str]
    ) -> None:
        self.tables = tables
        self.problems = problems
        self.care_areas = care_areas

    def drug(self, path: Path) -> Drug:
        """Return the drug; it means nothing while there are problems."""
        _check_sections(self.tables, {"drug": "[drug]", "use": "[[use]]"}, self.problems)
        table = _section(self.tables, "drug", _DRUG_KEYS, self.problems)
        drug_id = _id(table, f'"{path.stem}"')
        if drug_id and drug_id != path.stem:
            what = f'the id is "{drug_id}" and the file is called {path.name}'
            table.add("id", what, f"Call the file {drug_id}.toml, or mend the id")
        table.text("note", '"free text"')
        drug = Drug(
            drug_id=drug_id,
            name=_words(table, "name", '"Morphine"', GREATEST_NAME_BYTES),
            group=_words(table, "group", '"opioid"', GREATEST_NAME_BYTES, required=False),
            source=_words(table, "source", '"the label, with its section"'),
            uses=tuple(self._use(use, table) for use in self._uses()),
            file=str(path),
        )
        check_drug(drug, self.problems)
        return drug

    def _uses(self) -> list[Table]:
        value = self.tables.get("use")
        if isinstance(value, list) and value and all(isinstance(use, dict) for use in value):
            return [Table(f"use {at}", use, self.problems) for at, use in enumerate(value, 1)]
        what = "this is missing" if value is None else "this is no list of tables"
        self.problems.add("[use]", what, "Write [[use]], and under it how the drug is used")
        return []

    def _use(self, table: Table, drug: Table) -> Use:
        _check_keys(table, _USE_KEYS)
        table.text("note", '"free text"')
        dosing_text = _words(table, "dosing", '"mg/h"', GREATEST_NAME_BYTES)
        dosing = table.read("dosing", dosing_text, read_dosing) if dosing_text else None
        kvo, limits = self._limits(table, drug.values.get("source", ""))
        use = Use(
            care_areas=self._areas(table),
            concentrations=self._concentrations(table),
            programs=self._programs(table),
            dosing=dosing or LimitUnit(VOLUME, per_time="h"),
            dosing_text=dosing_text,
            limits=limits,
            kvo=kvo,
            air_ul=self._setting(table, "air_ul"),
            occlusion_kpa=self._setting(table, "occlusion_kpa"),
            line=line_of(self.problems.lines, f"[{table.name}]"),
        )
        check_use(use, table)
        return use

    def _setting(self, table: Table, key: str) -> int | None:
        least, greatest = _SETTINGS[key]
        return table.number(key, least, greatest, least) if table.given(key) else None

    def _areas(self, table: Table) -> tuple[str, ...]:
        example = '["home-adult"]'
        table.required("care_areas", example)
        areas = _once(table, "care_areas", table.texts("care_areas", example))
        for area in areas:
            if self.care_areas and area not in self.care_areas:
                remedy = nearest(area, tuple(self.care_areas), '"{}"')
                table.add("care_areas", f'the library has no care area "{area}"', remedy)
        return areas

    def _programs(self, table: Table) -> tuple[str, ...]:
        example = '["continuous"]'
        table.required("programs", example)
        programs = _once(table, "programs", table.texts("programs", example))
        for name in programs:
            if name not in PROGRAMS:
                remedy = nearest(name, tuple(PROGRAMS), '"{}"')
                table.add("programs", f'there is no program "{name}"', remedy)
        return programs

    def _concentrations(self, table: Table) -> tuple[DrugConcentration, ...]:
        key = "concentrations"
        texts = table.texts(key, '["1 mg/mL", "5 mg/mL"]')
        read = [table.read(key, text, read_concentration) for text in texts]
        return tuple(concentration for concentration in read if concentration)

    def _limits(self, table: Table, drug_source: Any) -> tuple[str, tuple[Limit, ...]]:
        """Return how KVO is, and the limits."""
        kinds = [kind for kind in KINDS if table.given(kind)]
        kvo = table.values.get("kvo", "rule")
        if isinstance(kvo, str):
            kinds = [kind for kind in kinds if kind != "kvo"]
            if kvo not in _WORDS_FOR_KVO:
                remedy = 'Write kvo = "rule", "off" or a table of limits'
                table.add("kvo", f'"{kvo}" is no KVO', remedy)
        limits = [self._limit(table, kind, str(drug_source)) for kind in kinds]
        return "limit" if "kvo" in kinds else str(kvo), tuple(limit for limit in limits if limit)

    def _limit(self, use: Table, kind: str, drug_source: str) -> Limit | None:
        table = use.table(kind, _LIMIT_EXAMPLE)
        if table is None:
            return None
        _check_keys(table, _LIMIT_KEYS)
        table.text("note", '"free text"')
        source = _words(table, "source", '"the label, with its section"', required=False)
        levels: list[Level] = []
        unit: LimitUnit | None = None
        for name in LEVELS:
            read = table.parsed(name, _figure_of(kind), f'"{_EXAMPLES[kind]}"')
            if read is None:
                continue
            value, found_unit = read
            line = line_of(self.problems.lines, f"[{table.name}] {name}")
            unit = unit or found_unit
            if _commensurable(table, name, found_unit, levels, unit):
                levels.append(Level(name, value, str(table.values[name]).strip(), line))
        if not any(table.given(name) for name in LEVELS):
            table.add("", "this limits nothing", f"Write {kind} = {_LIMIT_EXAMPLE}")
        if unit is None:
            return None
        line = line_of(self.problems.lines, f"[{table.name}]")
        return Limit(kind, unit, tuple(levels), source or drug_source, line)


_EXAMPLES = {
    **dict.fromkeys(("rate", "kvo"), "2 mg/h"),
    **dict.fromkeys(("duration", "lockout"), "60 min"),
    **dict.fromkeys(("dose", "bolus", "demand", "loading"), "5 mg"),
    **dict.fromkeys(("daily", "window_1h", "window_4h"), "10 mg"),
}


def _figure_of(kind: str) -> Callable[[str], tuple[Any, LimitUnit]]:
    return lambda text: read_figure(text, WANTED[kind])


def _commensurable(
    table: Table, name: str, found: LimitUnit, levels: Sequence[Level], unit: LimitUnit
) -> bool:
    """Whether a level is in the unit of those before it; a problem if not."""
    if found == unit:
        return True
    what = f'"{table.values[name]}" is not by the same as "{levels[0].text}" of {levels[0].name}'
    table.add(name, what, "Write all levels of a limit by the same: volume or dose, kg, time")
    return False


def _once(table: Table, key: str, names: Sequence[str]) -> tuple[str, ...]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            table.add(key, f'"{name}" is there {names.count(name)} times', "Write it once")
    return tuple(dict.fromkeys(names))
