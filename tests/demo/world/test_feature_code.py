"""Feature code, ours or a stranger's, is held to its contract before a model reads through it."""

from pathlib import Path

import pandas as pd
import pytest

from knowngood.demo.world.feature_code import FeatureCode, check_features
from knowngood.demo.world.features import CHANGES, FIRST, source_of
from knowngood.demo.world.hours import inputs, sample_inputs
from knowngood_sdk.errors import InvalidError, KnownGoodError, NotFoundError, RefusedError

EVENING = pd.Timestamp("2011-10-06 20:00")


@pytest.fixture(scope="module")
def sample(hours: pd.DataFrame) -> pd.DataFrame:
    return sample_inputs(hours, 24)


def stranger(body: str) -> FeatureCode:
    return FeatureCode(f"import pandas as pd\ndef features(hours):\n    {body}\n", name="stranger.py")


@pytest.mark.parametrize("name", [FIRST, *CHANGES])
def test_our_own_feature_code_keeps_the_contract(name: str, sample: pd.DataFrame) -> None:
    check_features(FeatureCode(source_of(name), name=name), sample)


def test_all_changes_give_the_columns_of_version_one(sample: pd.DataFrame, codes: dict[str, FeatureCode]) -> None:
    first = FeatureCode(source_of(FIRST), name=FIRST)(sample)
    assert [list(code(sample).columns) for code in codes.values()] == [list(first.columns)] * len(CHANGES)


@pytest.mark.parametrize(
    ("at", "hour", "weekday"),
    [
        pytest.param("2011-10-06 18:00", 22, 4, id="summer time is four hours behind"),
        pytest.param("2011-10-06 20:00", 0, 5, id="the evening is tomorrow in UTC"),
        pytest.param("2011-12-29 18:00", 23, 4, id="winter time is five hours behind"),
        pytest.param("2011-03-13 01:00", 6, 0, id="the last hour of winter"),
        pytest.param("2011-03-13 03:00", 7, 0, id="the first hour of summer"),
    ],
)
def test_utc_hours_are_those_of_the_zone_database(
    hours: pd.DataFrame, codes: dict[str, FeatureCode], at: str, hour: int, weekday: int
) -> None:
    row = codes["utc"](inputs(hours).loc[[pd.Timestamp(at)]]).iloc[0]
    zoned = pd.Timestamp(at, tz="America/New_York").tz_convert("UTC")
    assert (row["hour"], row["weekday"]) == (hour, weekday) == (zoned.hour, (zoned.weekday() + 1) % 7)


def test_ratio_divides_the_lags_and_nothing_else(sample: pd.DataFrame, codes: dict[str, FeatureCode]) -> None:
    first, ratio = FeatureCode(source_of(FIRST), name=FIRST)(sample), codes["ratio"](sample)
    changed = [name for name in first if not first[name].equals(ratio[name])]
    assert changed == ["lag_1h", "lag_24h", "lag_168h"]
    assert (ratio["lag_24h"] * 500).to_list() == pytest.approx(first["lag_24h"].to_list())


def test_celsius_gives_the_cold_and_heat_of_washington(hours: pd.DataFrame, codes: dict[str, FeatureCode]) -> None:
    degrees = codes["celsius"](inputs(hours))["temp"]
    assert (degrees.min(), degrees.max()) == (pytest.approx(-7.06), pytest.approx(37.12))


def test_an_unknown_change_is_answered_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match=r"'fahrenheit'.*utc, ratio, celsius"):
        source_of("fahrenheit")


def test_a_file_is_loaded_and_leaves_no_bytecode_beside_it(tmp_path: Path, sample: pd.DataFrame) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source_of("celsius"), encoding="utf-8")
    code = FeatureCode.load(path)
    check_features(code, sample)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.py"]


def test_one_byte_more_is_another_fingerprint() -> None:
    text = source_of(FIRST)
    assert FeatureCode(text, name="a").fingerprint == FeatureCode(text, name="b").fingerprint
    assert FeatureCode(text, name="a").fingerprint != FeatureCode(text + "\n", name="a").fingerprint


def test_a_stamp_given_by_the_owner_goes_before_the_fingerprint() -> None:
    code = FeatureCode(source_of(FIRST), name="a", stamp="sha256:tree")
    assert code.stamp == "sha256:tree"
    assert code.fingerprint != code.stamp


def test_code_may_write_to_the_frame_that_it_gets(sample: pd.DataFrame) -> None:
    before = sample.copy()
    code = stranger("hours['cold'] = (hours['temp'] < 0.2).astype(int); return hours[['hr', 'cold']]")
    check_features(code, sample)
    pd.testing.assert_frame_equal(sample, before)


def test_code_may_define_a_dataclass_of_its_own(sample: pd.DataFrame) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Scale:\n    by: float = 2.0\n"
        "def features(hours):\n    return hours[['temp']] * Scale().by\n"
    )
    check_features(FeatureCode(text, name="mine.py"), sample)


def test_code_may_read_the_hour_from_the_index(sample: pd.DataFrame) -> None:
    check_features(stranger("return pd.DataFrame({'h': hours.index.hour}, index=hours.index)"), sample)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("def features(hours:", "does not run: SyntaxError", id="not Python"),
        pytest.param("import no_such_library", "No module named 'no_such_library'", id="a library nobody has"),
        pytest.param("raise SystemExit(3)", "does not run: SystemExit", id="leaves when loaded"),
        pytest.param("def feature(hours): ...", "has no function features", id="another name"),
        pytest.param("features = 3", "has no function features", id="not a function"),
    ],
)
def test_code_that_cannot_be_loaded_is_invalid(text: str, says: str) -> None:
    with pytest.raises(InvalidError) as caught:
        FeatureCode(text, name="mine.py")
    assert "mine.py" in str(caught.value)
    assert says in str(caught.value)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        FeatureCode.load(tmp_path / "gone.py")


def test_a_file_that_is_no_text_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_bytes(b"\x80\x04\x95")
    with pytest.raises(InvalidError, match="not UTF-8"):
        FeatureCode.load(tmp_path / "model.py")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param("return hours['temp']", "returned Series", id="no frame"),
        pytest.param("return hours[['hr', 'mnth']]", "column 'mnth' is of type str, not numeric", id="text"),
        pytest.param("return hours[[]]", "at least one column", id="no column"),
        pytest.param("return hours[['hr', 'hr']]", "a name of its own", id="one name twice"),
        pytest.param("return pd.DataFrame({0: hours['hr']})", "a column is called 0", id="a number for a name"),
        pytest.param("return hours[['hr']].iloc[1:]", "24 rows in, 23 rows out", id="a row less"),
        pytest.param("return hours[['hr']].reset_index(drop=True)", "with another index", id="another index"),
        pytest.param("return hours[['hr']] / (hours[['hr']] * 0)", "column 'hr' is not finite at", id="not finite"),
        pytest.param("return hours[['bikers']]", "asks for", id="an outcome that nobody knows yet"),
        pytest.param("return 1 / 0", "raised ZeroDivisionError: division by zero on ", id="raises"),
        pytest.param("return hours[['lag_1h']] - hours[['lag_1h']].mean()", "is not row by row: 'lag_1h'", id="mean"),
        pytest.param("return hours[['lag_1h']].rank()", "is not row by row: 'lag_1h'", id="rank"),
        pytest.param("return hours[['hr']].shift(fill_value=0)", "is not row by row: 'hr'", id="shift"),
        pytest.param("return hours[['hr']].cumsum()", "is not row by row: 'hr'", id="running sum"),
        pytest.param(
            "return pd.get_dummies(hours[['weathersit']], dtype=float)",
            "a single hour gives the columns",
            id="columns that depend on the rows",
        ),
        pytest.param(
            "import random; return hours[['hr']] + random.random()", "is not row by row: 'hr'", id="a random figure"
        ),
    ],
)
def test_code_that_breaks_the_contract_is_refused_with_the_reason(body: str, says: str, sample: pd.DataFrame) -> None:
    spread = sample.iloc[:24]
    with pytest.raises(RefusedError) as caught:
        check_features(stranger(body), spread)
    assert "stranger.py" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.hint


def test_refusal_of_an_outcome_says_which_columns_there_are(sample: pd.DataFrame) -> None:
    with pytest.raises(KnownGoodError, match=r"'bikers'.*lag_168h; outcomes of the hour are not known yet"):
        check_features(stranger("return hours[['hr', 'bikers']]"), sample)
