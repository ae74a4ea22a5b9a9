"""What was done to wells, as plate maps tell it: drug, dose, unit and role, whatever columns and cells are called."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simsearch.errors import AnnotationError
from simsearch.io.tables.numbers import AmbiguousNumberError, DecimalMark, parse_number, split_amount
from simsearch.io.tables.plate_maps.control_words import (
    NEGATIVE,
    POSITIVE,
    Role,
    is_nothing,
    is_sample,
    is_undecided,
    role_of_drug,
    role_of_word,
)
from simsearch.io.tables.plate_maps.units import KNOWN_UNITS, Unit, convert_dose, parse_unit
from simsearch.io.tables.plate_maps.well_cells import plain_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DRUG, DOSE, UNIT, ROLE = "drug", "dose", "unit", "role"
"""Columns of a plate map that say more than their values."""
_NAMES = {
    DRUG: "drug drugname compound compoundname treatment substance substanz wirkstoff molecule reagent inhibitor "
    "perturbation pertname pertiname agent",
    DOSE: "dose drugdose datadose pertdose dosage dosis concentration conc drugconcentration drugconc "
    "compoundconcentration compoundconc finalconcentration finalconc konzentration konz",
    UNIT: "unit units doseunit doseunits dosisunit concentrationunit concentrationunits concunit concunits einheit "
    "pertdoseunit",
    ROLE: "role rolle control controltype controlstatus datacontrol kontrolle wellrole welltype sampletype perttype "
    "type content",
}
_VAGUE = ("type", "content", "sampletype", "welltype", "control", "perttype")
"""Columns that tell roles only if one of their values is a role."""
_HEADER_UNIT = re.compile(r"(?P<name>.*?[^\s_(\[])[\s_]*(?:\((?P<a>[^()]*)\)|\[(?P<b>[^\[\]]*)\]|[\s_](?P<c>[^\s_]+))")
_N_NAMED = 5  # cells in one note


@dataclass(frozen=True, slots=True)
class Treatments:
    """What was done to wells."""

    rows: tuple[dict[str, Any], ...]
    """A dictionary a well. Where it is known: ``drug``, ``dose`` (a number), ``unit`` of the dose, ``role``."""
    notes: tuple[str, ...]
    """How columns were understood, and what was not."""


def understand_treatments(
    rows: Sequence[Mapping[str, Any]], places: Sequence[str], wells: Sequence[str], mark: DecimalMark = ""
) -> Treatments:
    """Find drug, dose, unit and role in the columns of a plate map.

    Doses of one drug come out in one unit. What is understood already stays as it is.

    Parameters
    ----------
    rows : sequence of mapping
        The columns of each well: text as in the table, or numbers.
    places : sequence of str
        Where each row is, for errors: file and line.
    wells : sequence of str
        Name of the well of each row, for notes.
    mark : {"", ".", ",", "both"}
        Decimal mark that the table proves.

    Raises
    ------
    AnnotationError
        If a dose may be two numbers, has a unit that is not known or none where others have one, or the doses of a drug
        cannot be brought to one unit. The message names the cell.
    """
    columns = _find_columns(rows)
    renamed = [{columns.new.get(column, column): value for column, value in row.items()} for row in rows]
    roles, role_notes = _roles(renamed, wells)
    doses, dose_notes = _doses(renamed, [f"{place}, column {columns.dose}" for place in places], wells, mark)
    units = [_unit_text(row, dose, columns) for row, dose in zip(renamed, doses, strict=True)]
    united = _united(renamed, doses, units)
    for row, role, dose in zip(renamed, roles, united, strict=True):
        if ROLE in row or any(roles):
            row[ROLE] = role or row.get(ROLE, "")
        if dose is not None:
            row[DOSE] = dose.value
            if UNIT in row or any(units):
                row[UNIT] = dose.unit
    return Treatments(tuple(renamed), (*columns.notes, *role_notes, *dose_notes))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns say what."""

    new: dict[str, str]
    """Names that columns get."""
    dose: str = DOSE
    """What the column of doses is called in the table."""
    unit: str = ""
    """Of the doses, where the name of their column says it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Tell what a column is taken for that is called something else."""
        return tuple(f"column {old!r} is read as {new}" for old, new in self.new.items() if plain_name(old) != new)


@dataclass(frozen=True, slots=True)
class _Dose:
    """A dose as it is written."""

    value: float
    unit: str
    place: str


def _find_columns(rows: Sequence[Mapping[str, Any]]) -> _Columns:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    new: dict[str, str] = {}
    for name, synonyms in _NAMES.items():
        known = synonyms.split()
        candidates = [column for column in columns if plain_name(column) in known and _tells(name, column, rows)]
        if candidates:
            best = min(candidates, key=lambda column: (column != name, known.index(plain_name(column))))
            new[best] = name
    if DOSE not in new.values():
        for column in columns:
            found = _HEADER_UNIT.fullmatch(column.strip())
            unit = (found["a"] or found["b"] or found["c"] or "").strip() if found else ""
            if found and plain_name(found["name"]) in _NAMES[DOSE].split() and parse_unit(unit):
                return _Columns({**new, column: DOSE}, column, unit)
    return _Columns(new, next((old for old, name in new.items() if name == DOSE), DOSE))


def _tells(name: str, column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    vague = name == ROLE and plain_name(column) in _VAGUE
    return not vague or any(role_of_word(str(row.get(column, ""))) for row in rows)


def _roles(rows: Sequence[Mapping[str, Any]], wells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell the role of each well, empty if it has none, and what was guessed or not understood."""
    words = [_text(row.get(ROLE, "")) for row in rows]
    signs = _signs(set(words))
    titrated = _titrated(rows)
    roles: list[str] = []
    guessed: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for row, word, well in zip(rows, words, wells, strict=True):
        role = signs.get(word) or role_of_word(word)
        drug, dose = _text(row.get(DRUG, "")), _text(row.get(DOSE, ""))
        if role is None and (not word or is_undecided(word)):
            of_drug = role_of_drug(drug) if drug not in titrated else None
            role = of_drug or role_of_drug(dose)
            if role:
                guessed.setdefault(f"{drug if of_drug else dose!r} is taken for a {role.replace('_', ' ')}", []).append(
                    well
                )
        if role is None and word and word not in signs and not is_sample(word):
            unknown.setdefault(f"role {word!r} is neither {POSITIVE}, {NEGATIVE}, empty nor sample", []).append(well)
        roles.append(role or "")
    notes = [f"{said}: {named_wells(those)}" for said, those in [*guessed.items(), *unknown.items()]]
    notes += [f"{drug} has several doses and no role, so it is a drug and no control" for drug in titrated]
    return roles, notes


def _signs(words: set[str]) -> dict[str, Role]:
    """Read -1, 0 and 1, or - and +, where a column has both sides."""
    for negative, positive in (("-1", "1"), ("-", "+")):
        if {negative, positive} <= words:
            return {negative: NEGATIVE, positive: POSITIVE}
    return {}


def _titrated(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """List what is called like a control but has several doses and no role."""
    doses: dict[str, set[str]] = {}
    for row in rows:
        drug, dose = _text(row.get(DRUG, "")), _text(row.get(DOSE, ""))
        amount = split_amount(dose)[0]
        if role_of_drug(drug) and not _text(row.get(ROLE, "")) and amount.strip("0.,"):
            doses.setdefault(drug, set()).add(dose)
    return [drug for drug, different in doses.items() if len(different) > 1]


def _doses(
    rows: Sequence[Mapping[str, Any]], places: Sequence[str], wells: Sequence[str], mark: DecimalMark
) -> tuple[list[_Dose | None], list[str]]:
    """Read the dose of each well, and tell of those that are words."""
    doses: list[_Dose | None] = []
    words: dict[str, list[tuple[str, str]]] = {}
    for row, place, well in zip(rows, places, wells, strict=True):
        said = row.get(DOSE, "")
        dose = _dose(said, place, mark)
        if dose is None and (text := _text(said)) and not role_of_drug(text):
            words.setdefault(text, []).append((place, well))
        doses.append(dose)
    notes = [
        f"{those[0][0]}: {text!r} is no dose, and so left out: {named_wells([well for _, well in those])}"
        for text, those in words.items()
    ]
    return doses, notes


def _dose(said: object, place: str, mark: DecimalMark) -> _Dose | None:
    if isinstance(said, int | float) and not isinstance(said, bool):
        return _Dose(said, "", place)
    text = _text(said)
    amount, unit = split_amount(text)
    if not amount or is_nothing(text):
        return None
    try:
        value = parse_number(amount, mark)
    except AmbiguousNumberError as error:
        raise AnnotationError(f"{place}: expected a dose, got {error}") from error
    if value is None:
        raise AnnotationError(f"{place}: expected a dose such as 0.5 or 2 nM, got {text!r}: mend the cell")
    if unit and parse_unit(unit) is None:
        raise AnnotationError(f"{place}: expected a dose in {KNOWN_UNITS}, got {text!r}: write it in one of these")
    return _Dose(value, unit, place)


def _unit_text(row: Mapping[str, Any], dose: _Dose | None, columns: _Columns) -> str:
    """Tell the unit of a dose: that of its cell, of its row, or of the name of its column."""
    if dose is None:
        return ""
    beside = _text(row.get(UNIT, ""))
    if dose.unit and beside and parse_unit(dose.unit) != parse_unit(beside):
        raise AnnotationError(
            f"{dose.place}: expected a dose in {beside}, as the column {UNIT} says, got one in {dose.unit}: mend one"
        )
    return dose.unit or beside or columns.unit


def _united(
    rows: Sequence[Mapping[str, Any]], doses: Sequence[_Dose | None], texts: Sequence[str]
) -> list[_Dose | None]:
    """Bring the doses of each drug to one unit, and those of all drugs as far as that can be."""
    counts = Counter(text for text, dose in zip(texts, doses, strict=True) if text and dose and dose.value > 0)
    targets: dict[str, str] = {}
    for text, _ in [*counts.most_common(), *Counter(filter(None, texts)).items()]:
        targets.setdefault(_unit(text).kind, text)
    united = list(doses)
    drugs = [_text(row.get(DRUG, "")) for row in rows]
    for drug in {each.casefold(): each for each in drugs}.values():
        own = [i for i, each in enumerate(drugs) if doses[i] and each.casefold() == drug.casefold()]
        dosed = [(dose, texts[i]) for i in own if (dose := doses[i]) and (dose.value > 0 or texts[i])]
        _check_kinds(drug, dosed)
        target = targets[_unit(dosed[0][1]).kind] if dosed and dosed[0][1] else ""
        for i in own:
            if dose := doses[i]:
                united[i] = _in_unit(dose, texts[i], target)
    return united


def _check_kinds(drug: str, dosed: Sequence[tuple[_Dose, str]]) -> None:
    for dose, text in dosed[1:]:
        first, first_text = dosed[0]
        if _unit(text).kind != _unit(first_text).kind:
            raise AnnotationError(
                f"{dose.place}: expected doses of {drug or 'a drug'} in one unit, got {text or 'no unit'} here and "
                f"{first_text or 'no unit'} in {first.place}: write the same kind of unit everywhere"
            )


def _in_unit(dose: _Dose, text: str, target: str) -> _Dose:
    one, other = _unit(text or target), _unit(target)
    value = dose.value if one == other else float(f"{convert_dose(dose.value, one, other):.12g}")
    return _Dose(value, target, dose.place)


def _unit(text: str) -> Unit:
    """Read a unit; one that is not known converts to nothing but itself."""
    return parse_unit(text) or Unit(text, 0)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def named_wells(wells: Sequence[str]) -> str:
    """Name some wells in a note, and count the others."""
    more = f" and {len(wells) - _N_NAMED} more" if len(wells) > _N_NAMED else ""
    return ", ".join(wells[:_N_NAMED]) + more
