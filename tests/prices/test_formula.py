"""Formulas: what they mean, what they refuse, and that they never do anything else."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from app.prices.base import MAX_PRICE_C
from app.prices.formula import Formula, TotalFormula, compiled

GERMAN_RULE = "7.94 if spot >= 0 else 0"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True)
    value: Formula = "spot"
    import_value: TotalFormula = "total"


@pytest.mark.parametrize(
    ("formula", "spot_c", "earns_c"),
    [
        ("spot", -3.25, -3.25),
        ("spot - 1.5", 8.0, 6.5),
        ("spot - 1.5", 1.5, 0.0),
        (GERMAN_RULE, 12.0, 7.94),
        (GERMAN_RULE, 0.0, 7.94),
        (GERMAN_RULE, -0.0, 7.94),
        (GERMAN_RULE, -0.001, 0.0),
        ("max(0, spot)", -4.0, 0.0),
        ("min(spot, 10, 2 * 6)", 40.0, 10.0),
        ("-spot", 0.0, 0.0),
        ("spot * 0", -5.0, 0.0),
        ("0.1 + 0.2 - 0.3", 1.0, 0.0),
        ("1 if 0 < spot <= 5 else 2", 5.0, 1.0),
        ("1 if 0 < spot <= 5 else 2", 6.0, 2.0),
        ("1 if spot < 0 or spot > 10 and not spot == 20 else 2", 20.0, 2.0),
        ("1 if spot != 20 else (2 if spot >= 20 else 3)", 20.0, 2.0),
        ("  (spot + 16.2) * 1.19 ", 10.0, 31.178),
        ("spot * 11.2 / 4", 4.0, 11.2),
        ("7.94", -1.0, 7.94),
    ],
)
def test_a_formula_means_what_it_says(formula: str, spot_c: float, earns_c: float) -> None:
    result = compiled(formula)({"spot": spot_c})
    assert result is not None
    assert result == earns_c, "also without the dust of binary fractions, which would miss a threshold"
    assert math.copysign(1.0, result) == math.copysign(1.0, earns_c), "no -0.0"


@pytest.mark.parametrize(
    ("formula", "spot_c"),
    [
        ("1 / spot", 0.0),
        ("spot / (spot - 2)", 2.0),
        ("5 if 1 / spot > 0 else 3", 0.0),
        ("spot * 2", MAX_PRICE_C),
        ("5 if spot" + " * 99999" * 20 + " / 1e-250 > 0 else 3", 1e5),  # too large on the way
        ("min(5, spot" + " / 1e-250" * 2 + ")", 1.0),
        ("total", 1.0),  # not known now
    ],
)
def test_without_a_sensible_result_the_price_is_unknown_and_not_zero(formula: str, spot_c: float) -> None:
    assert compiled(formula, ("spot", "total"))({"spot": spot_c}) is None


def test_what_is_not_needed_may_be_unknown() -> None:
    formula = compiled("spot if spot < 0 else total", ("spot", "total"))
    assert formula({"spot": -2.0}) == -2.0
    assert formula({"spot": 2.0}) is None
    assert formula({"spot": 2.0, "total": 31.5}) == 31.5


REFUSED = {
    "spot ** 2": "spot ** 2",
    "1 + spot // 2": "spot // 2",
    "spot % 2": "spot % 2",
    "spot << 2": "spot << 2",
    "~spot": "~spot",
    "+spot": "+spot",
    "spot.real": "spot.real",
    "().__class__": "().__class__",
    "spot[0]": "spot[0]",
    "abs(spot)": "abs(spot)",
    "__import__('os')": "__import__('os')",
    "min(spot)": "min(spot)",
    "min()": "min()",
    "min(spot, 1, key=spot)": "min(spot, 1, key=spot)",
    "max(1, *spot)": "*spot",
    "min.max(1, 2)": "min.max(1, 2)",
    "min": "min",
    "lambda: 1": "lambda: 1",
    "f'{spot}'": "f'{spot}'",
    "'7'": "'7'",
    "b'7'": "b'7'",
    "(x := 1)": "x := 1",
    "[x for x in spot]": "[x for x in spot]",
    "max(x for x in spot)": "max(x for x in spot)",
    "(1, 2)": "(1, 2)",
    "{1: 2}": "{1: 2}",
    "await spot": "await spot",
    "True": "True",
    "None": "None",
    "...": "...",
    "2j": "2j",
    "1e999": "1e999",
    "100001": "100001",
    "9" * 190: "9" * 190,
    "price": "price",
    "total": "total",
    "spot > 0": "spot > 0",  # a condition is no price
    "1 if spot else 2": "spot",  # a price is no condition
    "spot or 5": "spot or 5",
    "not spot": "not spot",
    "1 if spot > 0 and spot else 2": "spot",
    "1 if spot is 0 else 2": "spot is 0",
    "1 if spot in (0, 1) else 2": "spot in (0, 1)",
    "(spot > 0) * 5": "spot > 0",
    "": "",
    " ": " ",
    "spot; spot": "spot; spot",
    "spot = 5": "spot = 5",
    "import os": "import os",
    "spot 5": "spot 5",
    "spot\nspot": "spot\nspot",
    "spot\0": "spot\0",
    "7,94": "7,94",
    "(" * 200: "(" * 200,
    "\ud800": "\ud800",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_whatever_else_is_refused_with_the_piece_that_is_not_understood(formula: str) -> None:
    with pytest.raises(ValueError, match="a formula is made of spot, numbers") as refused:
        compiled(formula)
    assert str(refused.value).startswith(f"{formula!r}: cannot make sense of {REFUSED[formula]!r}; ")
    assert '"7.94 if spot >= 0 else 0"' in str(refused.value)


def test_long_ones_are_refused() -> None:
    assert compiled("-" * 199 + "1")({}) == -1.0
    with pytest.raises(ValueError, match="200 characters at most"):
        compiled("-" * 200 + "1")


def test_the_configuration_takes_formulas_and_plain_prices() -> None:
    assert Section.model_validate({"value": 8}).value == "8"
    assert Section.model_validate({"value": -7.5}).value == "-7.5"
    assert Section.model_validate({"value": " spot - 1 ", "import_value": "total * 1.2"}).value == "spot - 1"


@pytest.mark.parametrize("value", [True, None, [], {}, "total", "spot ** 2", float("nan"), float("inf"), 1e9, 10**400])
def test_the_configuration_refuses_the_rest_with_a_sentence(value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        Section.model_validate({"value": value})
    (error,) = refused.value.errors()
    assert '"7.94 if spot >= 0 else 0"' in error["msg"] or "200 characters at most" in error["msg"]


def test_its_schema_allows_both() -> None:
    assert Section.model_json_schema()["properties"]["value"]["type"] == ["string", "number"]


def conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    compared = st.tuples(inner, signs, inner).map(" ".join) | st.tuples(inner, signs, inner, signs, inner).map(" ".join)
    joined = st.tuples(compared, st.sampled_from([" and ", " or "]), compared).map("".join)
    return st.one_of(compared, joined, compared.map(lambda one: f"not {one}"))


numbers = st.recursive(
    st.sampled_from(["spot", "0", "1.5", "100000", "0.001"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"-{one}"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"
        ),
        st.tuples(inner, conditions(inner), inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
    ),
    max_leaves=6,
)


@given(numbers.filter(lambda text: len(text) <= 200), st.floats(allow_nan=False, allow_infinity=False))
def test_it_agrees_with_python_and_never_raises(formula: str, spot_c: float) -> None:
    result = compiled(formula)({"spot": spot_c})
    assert result is None or (math.isfinite(result) and abs(result) <= MAX_PRICE_C)
    if result is not None:
        assert result == pytest.approx(
            eval(formula, {"__builtins__": {"min": min, "max": max}, "spot": spot_c}), abs=1e-6
        )
        assert (result, math.copysign(1.0, result)) != (0.0, -1.0)


@given(st.text(max_size=40) | st.text("spot0123456789.+-*/()<>=! ifelsandor,minmax[]{}'\"_:", max_size=60))
@example("spot" + ".__class__" * 15)
@example("1_0")
@example("1if spot>0 else 2")
def test_any_text_is_a_formula_or_a_value_error(text: str) -> None:
    try:
        result = compiled(text)({"spot": 3.0})
    except ValueError:
        return
    assert result is None or abs(result) <= MAX_PRICE_C
