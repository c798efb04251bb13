"""Binding of roles and options, and reading of study files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import recovery_stats as rs
from recovery_stats import analyses
from recovery_stats.analyses import Analysis
from recovery_stats.core.codebook import Codebook, MissingRule, Variable
from recovery_stats.core.dataset import Dataset
from recovery_stats.core.study import AnalysisSpec, Protocol, TableSpec
from recovery_stats.errors import DataError, UsageError
from recovery_stats.study import demo, loose_file, table, workflow
from recovery_stats.study.binding import bind, options_of
from tests.toy import TOY, Question, study, toy

__all__ = ["toy"]


class TestOptions:
    def test_types_come_from_the_annotations(self) -> None:
        types = {o.name: o.type for o in options_of(Question)}
        assert types["horizon"] is float
        assert types["lag"] is int
        assert types["deep"] is bool
        assert types["adjust"] is str
        assert types["reference"] is str

    def test_flags_have_dashes(self) -> None:
        flags = {o.name: o.flag for o in options_of(Question)}
        assert flags["outcome"] == "--outcome"


class TestBind:
    def test_option_beats_role_beats_default_beats_none(self) -> None:
        question = bind(TOY, study(), {"lag": 2})
        assert question.outcome == "craving"  # role
        assert question.person == "pid"  # default, because the column exists
        assert question.site is None
        assert question.lag == 2
        assert bind(TOY, study(), {"outcome": "wave"}).outcome == "wave"

    def test_level_and_seed_come_from_the_protocol(self) -> None:
        question = bind(TOY, study(level=0.9, seed=7), {})
        assert (question.level, question.seed) == (0.9, 7)
        assert bind(TOY, study(level=0.9), {"level": 0.8}).level == 0.8

    def test_required_and_missing_names_option_role_and_nearest_column(self) -> None:
        with pytest.raises(UsageError) as raised:
            bind(TOY, study(roles={}), {})
        message = str(raised.value)
        assert "--outcome COLUMN" in message
        assert '[roles.waves] as outcome = "COLUMN"' in message

    def test_unknown_column_names_the_nearest(self) -> None:
        with pytest.raises(DataError, match="Did you mean 'craving'"):
            bind(TOY, study(), {"outcome": "cravng"})

    def test_role_of_a_column_that_is_not_there(self) -> None:
        with pytest.raises(DataError, match="'cravng'"):
            bind(TOY, study(roles={"outcome": "cravng"}), {})

    def test_covariates_may_stand_in_a_joined_table(self) -> None:
        assert bind(TOY, study(), {"adjust": ("age", "wave")}).adjust == ("age", "wave")
        assert bind(TOY, study(), {"adjust": "age"}).adjust == ("age",)
        with pytest.raises(DataError, match="'agee'"):
            bind(TOY, study(), {"adjust": ["age", "agee"]})

    def test_unknown_option(self) -> None:
        with pytest.raises(UsageError, match="Did you mean 'outcome'"):
            bind(TOY, study(), {"outcom": "craving"})

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("family", "gausian", "Did you mean 'gaussian'"),
            ("lag", "two", "a whole number"),
            ("lag", 1.5, "a whole number"),
            ("lag", True, "a whole number"),
            ("deep", 1, "true or false"),
            ("horizon", "far", "a number"),
            ("level", 95, "between 0 and 1"),
            ("level", 0.0, "between 0 and 1"),
            ("seed", -1, "0 or above"),
        ],
    )
    def test_wrong_values(self, option: str, value: object, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            bind(TOY, study(), {option: value})

    def test_harmless_conversions(self) -> None:
        question = bind(TOY, study(), {"horizon": 30, "reference": 1})
        assert question.horizon == 30.0
        assert isinstance(question.horizon, float)
        assert question.reference == "1"


class TestAnswer:
    def test_result_carries_protocol_sources_and_provenance(self, toy: Analysis) -> None:
        result = workflow.answer("toy", study(synthetic=True, sha256="c" * 64), seed=3)
        assert result.synthetic
        assert [s.name for s in result.sources] == ["waves.sav", "persons.sav"]
        assert result.protocol.seed == 3
        provenance = dict(result.provenance)
        assert provenance["Study file"] == "c" * 16
        assert "person = pid; outcome = craving; family = gaussian" in provenance["Options"]

    def test_write_gives_the_format_of_the_extension(self, toy: Analysis, tmp_path: Path) -> None:
        result = workflow.answer("toy", study())
        path = result.write(tmp_path / "toy.md")  # type: ignore[attr-defined]
        assert path.read_text(encoding="utf-8")
        with pytest.raises(UsageError, match="report format"):
            result.write(tmp_path / "toy.hmtl")  # type: ignore[attr-defined]


class TestMissingCodes:
    def dataset(self) -> Dataset:
        frame = pd.DataFrame({"x": [1.0, 99, 3], "y": ["a", "-", "b"]}, index=pd.RangeIndex(1, 4))
        codebook = Codebook({"x": Variable("x", missing=MissingRule((-9.0,)))})
        return Dataset(frame, codebook)

    def test_codes_become_missing_with_their_reason(self) -> None:
        spec = TableSpec("persons", missing={"x": (99.0,)})
        data = table.prepared(self.dataset(), spec)
        assert data.frame["x"].isna().tolist() == [False, True, False]
        assert data.reasons("x") == {"99": 1}
        assert data.codebook["x"].missing.codes == (-9.0, 99.0)

    def test_star_means_every_column_that_can_hold_the_code(self) -> None:
        spec = TableSpec("persons", missing={"*": (99.0, "-")})
        data = table.prepared(self.dataset(), spec)
        assert data.reasons("x") == {"99": 1}
        assert data.reasons("y") == {"-": 1}

    def test_unknown_column(self) -> None:
        with pytest.raises(DataError, match="'z'"):
            table.prepared(self.dataset(), TableSpec("persons", missing={"z": (9.0,)}))


class TestWhere:
    def test_rows_are_kept_and_the_loss_is_told(self) -> None:
        waves = study()["waves"]
        spec = TableSpec("waves", roles={"person": "pid"}, where=(("wave", ">=", 2),))
        data = table.prepared(waves, spec)
        assert len(data) == 3
        assert [step.kept for step in data.flow] == [6, 3]
        assert data.flow[-1].reason == "wave >= 2"

    def test_text_is_not_compared_with_numbers(self) -> None:
        spec = TableSpec("waves", where=(("wave", "<", "two"),))
        with pytest.raises(DataError, match="cannot be compared"):
            table.prepared(study()["waves"], spec)


class TestColumnsUsed:
    def test_roles_keys_filters_options_and_defaults(self, toy: Analysis) -> None:
        protocol = Protocol(
            tables={
                "waves": TableSpec(
                    "waves",
                    key=("pid", "wave"),
                    roles={"outcome": ("craving", "stress")},
                    where=(("arm", "==", 1),),
                )
            },
            analyses=(AnalysisSpec("toy", "toy", {"site": "centre"}),),
        )
        used = table.columns_used(protocol)
        assert used == {"pid", "wave", "craving", "stress", "arm", "centre"}


class TestFiles:
    @pytest.fixture
    def long(self, tmp_path: Path) -> Path:
        path = tmp_path / "long.csv"
        path.write_text("pid,wave,craving,age\n1,1,3,30\n1,2,4,30\n2,1,5,40\n2,2,4.5,40\n")
        return path

    def test_one_file_serves_the_tables_that_options_speak_of(self, long: Path) -> None:
        made = loose_file.study_from_files(TOY, {"data": long}, {"outcome": "craving"})
        assert set(made.tables) == {"waves"}
        assert made.role("waves", "person") == "pid"
        both = loose_file.study_from_files(
            TOY, {"data": long}, {"outcome": "craving", "adjust": "age"}
        )
        assert both["persons"].source == both["waves"].source
        assert list(both["persons"].frame["pid"]) == [1, 2]

    def test_only_the_columns_named_are_read(self, long: Path) -> None:
        made = loose_file.study_from_files(TOY, {"data": long}, {"outcome": "craving"})
        assert list(made["waves"].frame) == ["pid", "craving"]

    def test_a_fault_is_told_with_every_column_at_hand(self, long: Path) -> None:
        with pytest.raises(DataError, match="Did you mean 'age'"):
            loose_file.study_from_files(
                TOY, {"data": long}, {"outcome": "craving", "adjust": "agee"}
            )

    def test_data_excludes_other_files(self, long: Path) -> None:
        with pytest.raises(UsageError, match="--data stands for every table"):
            loose_file.study_from_files(TOY, {"data": long, "waves": long}, {})

    def test_no_file(self) -> None:
        with pytest.raises(UsageError, match="--waves and --persons"):
            loose_file.study_from_files(TOY, {}, {})

    def test_unknown_privacy_profile(self) -> None:
        with pytest.raises(UsageError, match="Did you mean 'cms'"):
            table.profile("cmss")


class TestDemo:
    @pytest.mark.skipif(not demo.COMMITTED.is_file(), reason="no committed study")
    def test_without_a_checkout_the_same_study_is_made_again(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        committed = demo.demo_study()
        monkeypatch.setattr(demo, "COMMITTED", tmp_path / "nowhere")
        made = demo.demo_study()
        assert set(made.tables) == set(committed.tables)
        for name, data in committed.tables.items():
            again = made[name].frame
            pd.testing.assert_frame_equal(data.frame, again, check_dtype=False, check_names=False)
        roles = {name: dict(spec.roles) for name, spec in made.protocol.tables.items()}
        assert roles == {n: dict(s.roles) for n, s in committed.protocol.tables.items()}

    @pytest.mark.skipif(not demo.COMMITTED.is_file(), reason="no committed study")
    def test_pruned_reading_gives_the_same_bindings(self) -> None:
        whole = table.read_study(demo.COMMITTED)
        pruned = table.read_study(demo.COMMITTED, prune=True)
        assert len(pruned["persons"].frame.columns) < len(whole["persons"].frame.columns)
        for spec in whole.protocol.analyses:
            analysis = analyses.get(spec.kind)
            assert bind(analysis, pruned, spec.options) == bind(analysis, whole, spec.options)


def test_at_a_prompt_tables_studies_and_results_are_a_line_each():
    made = rs.synthetic_study("plain", persons=30, seed=1)
    result = rs.answer("relationship_satisfaction", made, sensitivity=False)
    for shown in (made["persons"], made, result):
        assert len(repr(shown)) < 300
        assert "\n" not in repr(shown)
    assert repr(made["persons"]).startswith("<Dataset of 30 rows")
