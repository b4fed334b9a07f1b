"""Components that were never recorded together serve together only on evidence, or by a person's name."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.compatibility import (
    CombinationVerdict,
    Contract,
    Mismatch,
    Override,
    judge_combination,
    label_of,
    mismatches,
    proof_of,
)
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import digest_of, short
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role


def part(
    role: Role, version: str, *, provides: dict[str, str] | None = None, requires: dict[str, str] | None = None
) -> Component:
    return Component(
        role=role,
        kind="files",
        ref=Ref(digest=digest_of([role.value, version]), native=version),
        provides=provides or {},
        requires=requires or {},
    )


def features(version: str) -> Component:
    return part(Role.FEATURES, version, provides={"features": f"f{version}"})


def model(version: str, trained_on: str) -> Component:
    return part(Role.MODEL, version, requires={"features": f"f{trained_on}"})


def manifest(**components: Component) -> Manifest:
    return Manifest(system="pricing", components=components)


OLD = manifest(model=model("41", "16"), features=features("16"))
NEW = manifest(model=model("42", "17"), features=features("17"))
MIXED = NEW.with_component("model", OLD.components["model"])


def test_a_manifest_whose_contracts_hold_has_no_mismatch() -> None:
    assert mismatches(OLD) == ()
    assert mismatches(manifest(config=part(Role.CONFIG, "1"))) == ()


@pytest.mark.requirement("A2")
def test_a_model_on_other_features_is_a_mismatch() -> None:
    assert mismatches(MIXED) == (
        Mismatch(component="model", contract="features", required="f16", provider="features", provided="f17"),
    )


def test_a_contract_that_nothing_provides_is_a_mismatch() -> None:
    assert mismatches(manifest(model=model("41", "16"))) == (
        Mismatch(component="model", contract="features", required="f16", provider=None, provided=None),
    )


def test_a_component_does_not_keep_its_own_contract() -> None:
    alone = part(Role.MODEL, "1", provides={"features": "f1"}, requires={"features": "f1"})
    assert [item.provider for item in mismatches(manifest(model=alone))] == [None]


def test_a_contract_that_two_provide_differently_does_not_hold() -> None:
    both = manifest(model=model("41", "16"), features=features("16"), others=features("17"))
    assert mismatches(both) == (
        Mismatch(component="model", contract="features", required="f16", provider="others", provided="f17"),
    )
    twice = manifest(model=model("41", "16"), features=features("16"), others=features("16"))
    assert mismatches(twice) == ()


def test_mismatches_come_in_the_order_of_names() -> None:
    needy = {"b": "1", "a": "1"}
    found = mismatches(manifest(y=part(Role.MODEL, "1", requires=needy), x=part(Role.PROMPT, "1", requires={"c": "1"})))
    assert [(item.component, item.contract) for item in found] == [("x", "c"), ("y", "a"), ("y", "b")]


@pytest.mark.requirement("A1")
def test_what_was_recorded_as_one_is_proven() -> None:
    again = Manifest(system="pricing", components=dict(OLD.components), parent=NEW.digest)
    assert proof_of(again, [NEW, OLD]).proven
    assert proof_of(again, [NEW, OLD]).reasons == ()


@pytest.mark.requirement("A2")
def test_a_model_on_features_that_it_was_not_trained_on_is_unproven() -> None:
    proof = proof_of(MIXED, [NEW, OLD])
    assert proof.proven is False
    assert proof.reasons == ("model 41 was trained on features 16, live is 17",)


@pytest.mark.requirement("A2")
def test_contracts_that_fit_prove_nothing() -> None:
    config = part(Role.CONFIG, "9")
    proof = proof_of(manifest(**OLD.components, config=config), [NEW, OLD])
    assert not proof.proven
    assert proof.reasons == ("these components were never recorded together",)


def test_features_that_nobody_recorded_are_named_by_their_fingerprint() -> None:
    assert proof_of(MIXED, [NEW]).reasons == ("model 41 was trained on features f16, live is 17",)
    fingerprint = digest_of("schema")
    odd = manifest(model=part(Role.MODEL, "41", requires={"schema": fingerprint}))
    assert proof_of(odd, []).reasons == (
        f"model 41 was trained on schema {short(fingerprint)}, and nothing provides it",
    )


def committed(version: str, commit: str) -> Component:
    """Return features whose content was put in by a commit: the same content may be committed again."""
    content = features(version)
    return replace(content, kind="git", ref=replace(content.ref, native=commit * 40))


def test_content_that_was_committed_twice_has_one_name_whichever_commit_is_met_first() -> None:
    first, again, live = committed("16", "a"), committed("16", "b"), committed("17", "c")
    old, later = (manifest(model=model("41", "16"), features=part) for part in (first, again))
    mixed = manifest(model=model("41", "16"), features=live)
    said = {proof_of(mixed, recorded).reasons for recorded in ([old], [later], [old, later])}
    wanted, found = short(first.ref.digest), short(live.ref.digest)
    assert said == {(f"model 41 was trained on features {wanted}, live is {found}",)}


def test_only_a_model_is_trained() -> None:
    odd = manifest(features=part(Role.FEATURES, "3", requires={"tables": "t1"}))
    assert proof_of(odd, []).reasons == ("features 3 was made for tables t1, and nothing provides it",)


@pytest.mark.parametrize(
    ("native", "label"),
    [
        pytest.param("41", "41", id="the owner's number"),
        pytest.param("", short(digest_of("x")), id="no native version"),
        pytest.param("0123456789abcdef0123456789abcdef01234567", "0123456789ab", id="a git sha"),
        pytest.param("0123456789abcdef0123", "0123456789ab", id="twenty digits"),
        pytest.param("0123456789abcdef012", "0123456789abcdef012", id="nineteen digits"),
        pytest.param("X123456789abcdef0123", "X123456789abcdef0123", id="what only looks like a sha"),
        pytest.param("release-2026-11-23-evening", "release-2026-11-23-evening", id="a long name"),
    ],
)
def test_a_label_is_short_enough_to_read(native: str, label: str) -> None:
    component = Component(role=Role.MODEL, kind="files", ref=Ref(digest=digest_of("x"), native=native))
    assert label_of(component) == label


def test_a_contract_cannot_be_edited() -> None:
    provides = {"features": "f1"}
    contract = Contract(provides=provides, requires={"data": "d1"})
    provides["features"] = "f2"
    assert contract.provides == {"features": "f1"}
    assert contract.requires == {"data": "d1"}
    assert Contract() == Contract(provides={}, requires={})


# --------------------------------------------------------------------------------------------------------- evidence


@pytest.mark.requirement("A2")
@pytest.mark.parametrize(
    ("divergence", "n", "failed", "allowed", "reason"),
    [
        pytest.param(math.nan, 0, 0, False, "it was never measured on real requests", id="no evidence"),
        pytest.param(0.0, 0, 0, False, "it was never measured on real requests", id="a figure without requests"),
        pytest.param(0.01, 99, 0, False, "it was measured on 99 real requests; 100 are needed", id="too few requests"),
        pytest.param(
            0.15,
            100,
            0,
            True,
            "its outputs diverge by 15.0% on 100 real requests, within the tolerance of 15.0%",
            id="at the tolerance, on the least evidence",
        ),
        pytest.param(
            0.151,
            100,
            0,
            False,
            "its outputs diverge by 15.1% on 100 real requests, beyond the tolerance of 15.0%",
            id="just beyond the tolerance",
        ),
        pytest.param(math.nan, 500, 0, False, "its outputs on 500 real requests cannot be compared", id="not a number"),
        pytest.param(math.inf, 500, 0, False, "its outputs on 500 real requests cannot be compared", id="infinite"),
        pytest.param(math.nan, 0, 7, False, "it gave no answer to 7 of 7 real requests", id="it never answered"),
        pytest.param(0.01, 198, 2, True, "diverge by 1.0%", id="one in a hundred failed"),
        pytest.param(
            0.01, 100, 100, False, "it gave no answer to 100 of 200 real requests", id="every other one failed"
        ),
        pytest.param(
            0.01, 197, 3, False, "it gave no answer to 3 of 200 real requests", id="three in two hundred failed"
        ),
    ],
)
def test_a_combination_is_judged_by_the_rule_fixed_beforehand(
    divergence: float, n: int, failed: int, reason: str, *, allowed: bool
) -> None:
    verdict = judge_combination(divergence, n, failed=failed)
    assert verdict.allowed is allowed
    assert reason in verdict.reason
    assert (verdict.n, verdict.tolerance, verdict.override) == (n, 0.15, None)
    assert verdict.divergence == (divergence if math.isfinite(divergence) else None)


def test_the_rule_is_the_teams() -> None:
    assert judge_combination(0.3, 10, tolerance=0.3, min_requests=10).allowed
    assert not judge_combination(0.3, 9, tolerance=0.3, min_requests=10).allowed
    assert judge_combination(0.3, 10, tolerance=0.3, min_requests=10).tolerance == 0.3


LEAVE = Override(by="anna", reason="the market is closed", combination=MIXED.content_digest, at="2026-11-23T18:00:00Z")


@pytest.mark.requirement("A2")
def test_a_person_may_allow_by_name_what_the_figures_do_not() -> None:
    verdict = judge_combination(0.6, 200, override=LEAVE)
    assert verdict.allowed
    assert verdict.override == LEAVE
    assert verdict.reason == (
        "anna allowed it although its outputs diverge by 60.0% on 200 real requests, "
        "beyond the tolerance of 15.0%: the market is closed"
    )
    assert judge_combination(math.nan, 0, override=LEAVE).allowed


def test_a_leave_that_was_not_needed_is_not_used() -> None:
    verdict = judge_combination(0.1, 200, override=LEAVE)
    assert verdict.allowed
    assert verdict.override is None
    assert "anna" not in verdict.reason


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("  ", "why"), ("anna", ""), ("anna", " \n")])
def test_a_leave_needs_a_name_and_a_reason(by: str, reason: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Override(by=by, reason=reason, combination=MIXED.content_digest, at="2026-11-23T18:00:00Z")
    assert str(caught.value) == "an override needs a name and a reason. Say who takes it upon them, and why"


@given(st.one_of(st.floats(0, 2), st.just(math.nan)), st.integers(0, 300), st.integers(0, 300), st.floats(0.01, 1))
def test_nothing_is_allowed_without_enough_close_answers(
    divergence: float, n: int, failed: int, tolerance: float
) -> None:
    verdict = judge_combination(divergence, n, failed=failed, tolerance=tolerance)
    assert verdict.allowed == (n >= 100 and divergence <= tolerance and failed <= 0.01 * (n + failed))


def test_a_verdict_has_a_json_form() -> None:
    assert judge_combination(0.6, 200, override=LEAVE).to_json() == {
        "allowed": True,
        "reason": judge_combination(0.6, 200, override=LEAVE).reason,
        "divergence": 0.6,
        "n": 200,
        "tolerance": 0.15,
        "override": {
            "by": "anna",
            "reason": "the market is closed",
            "combination": MIXED.content_digest,
            "at": "2026-11-23T18:00:00Z",
        },
    }
    refused = CombinationVerdict(allowed=False, reason="no", divergence=None, n=0, tolerance=0.15)
    assert refused.to_json()["override"] is None
