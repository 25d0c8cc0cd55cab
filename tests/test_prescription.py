"""The drug library's limits on every path to a patient, on the pump itself."""

from fractions import Fraction

import libraries
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from pumps import Bedside

from micropump import controller, governor, journal, library, prescription
from micropump.prescription import CONFIRM_WITHIN_S, HARD_LIMIT, NOT_IN_LIBRARY, SOFT_LIMIT
from micropump.program import CONTINUOUS, INTERMITTENT, PCA, PURGE
from micropump_host.library.image import build_image
from micropump_host.library.model import (
    MASS,
    TIME,
    VOLUME,
    Drug,
    DrugConcentration,
    Library,
    LimitUnit,
    Use,
)

MG = 10**6
MG_H, MG_ALONE, SECONDS = LimitUnit(MASS, False, "h"), LimitUnit(MASS), LimitUnit(TIME)
ONE_MG_ML = (DrugConcentration(Fraction(MG), MASS, "1 mg/mL"),)


def use(programs: tuple[str, ...], kinds: tuple, concentrations=ONE_MG_ML, kvo="rule") -> Use:
    unit = MG_H if concentrations else LimitUnit(VOLUME, False, "h")
    return Use(("ward",), concentrations, programs, unit, "mg/h", kinds, kvo)


# At 1 mg/mL a mg is a mL.
LIMITED = libraries.limit_of
MORPHINE = Drug("morphine", "Morphine", "", "", (
    use(("continuous", "pca"), (
        LIMITED("rate", MG_H, lower_soft=MG, upper_soft=6 * MG, upper_hard=10 * MG),
        LIMITED("bolus", MG_ALONE, upper_soft=2 * MG, upper_hard=4 * MG),
        LIMITED("demand", MG_ALONE, upper_soft=MG, upper_hard=2 * MG),
        LIMITED("daily", MG_ALONE, upper_soft=40 * MG, upper_hard=200 * MG),
        LIMITED("lockout", SECONDS, lower_soft=360, lower_hard=300),
    )),
))  # fmt: skip
VANCOMYCIN = Drug("vancomycin", "Vancomycin", "", "", (
    use(("intermittent",), (
        LIMITED("dose", MG_ALONE, upper_soft=10 * MG, upper_hard=20 * MG),
        LIMITED("duration", SECONDS, lower_hard=3600),
    )),
))  # fmt: skip
LIPIDS = Drug("lipids", "Lipids", "", "", (
    use(("continuous",), (LIMITED("rate", LimitUnit(VOLUME, False, "h"), upper_hard=125_000),), ()),
))  # fmt: skip
IMAGE = build_image(
    Library("ward", "A ward's", 3, {"ward": "Ward"}, (LIPIDS, MORPHINE, VANCOMYCIN)), libraries.KEY
)

OF_MORPHINE = {
    "asked_by": "ward 3", "order_id": "an-order", "drug_id": "morphine", "care_area": "ward",
    "concentration_in": library.NG, "concentration_mantissa": 1, "concentration_exponent": 6,
    "weight_g": 70_000,
}  # fmt: skip
OF_VANCOMYCIN = {**OF_MORPHINE, "drug_id": "vancomycin"}
# What a day has of it is beyond nothing.
SMALL = {"rate_ul_h": 5_000, "vtbi_ul": 20_000, "kvo_ul_h": 0}


def bedside(image: bytes = IMAGE) -> Bedside:
    found = Bedside()
    if image:
        found.client.provision(libraries.KEY)
        found.client.install_library(image)
    return found


def prescribe(found: Bedside, kind: int = CONTINUOUS, **wishes):
    fields = support.order_of(kind, **{**OF_MORPHINE, **wishes})
    return found.client.prescribe(kind, {**fields, "kind": 1, "item_id": "bd-plastipak-50"})


def infusing(**wishes) -> Bedside:
    found = bedside()
    accepted = prescribe(found, **{**SMALL, **wishes})
    found.client.start(accepted.program_id)
    found.wait(10)
    assert found.client.status().state == "infusing"
    return found


# -- programs -------------------------------------------------------------------------------------


def test_a_program_within_its_limits_starts_at_once_and_says_so():
    found = bedside()
    accepted = prescribe(found, **SMALL)
    assert (accepted.library, accepted.findings, accepted.asks) == ("in the library", (), 0)
    found.client.start(accepted.program_id)
    status = found.client.status()
    assert (status.drug_id, status.library, status.overrides) == ("morphine", "in the library", ())


def test_who_asked_for_what_is_in_the_journal():
    found = bedside()
    prescribe(found, **SMALL)
    texts = {event.code: event for event in found.client.events() if event.text}
    assert "an-order" in texts[journal.PROGRAMMED].text
    assert texts[journal.ASKED_BY].text == "ward 3"
    assert texts[journal.DRUG].text.startswith("morphine")
    assert (texts[journal.DRUG].a, texts[journal.DRUG].b) == (3, 70_000)
    assert texts[journal.CARE_AREA].text == "ward"
    assert journal.OUTSIDE_LIBRARY not in texts


def test_beyond_a_hard_limit_is_refused_and_what_was_loaded_stays():
    found = bedside()
    loaded = prescribe(found, **SMALL)
    error = found.refused(prescribe, found, **{**SMALL, "rate_ul_h": 10_001})
    assert (error.code, error.field, error.asks) == (HARD_LIMIT + library.RATE, "rate_ul_h", 0)
    assert "10,001 µL/h, at most 10,000 µL/h" in error.what
    assert found.client.status().program_id == loaded.program_id
    prescribe(found, **{**SMALL, "rate_ul_h": 10_000})


def test_beyond_a_soft_limit_takes_a_second_confirmation_and_is_shown_to_the_end():
    found = bedside()
    client = found.client
    accepted = prescribe(found, **{**SMALL, "rate_ul_h": 7_000})
    (finding,) = accepted.findings
    assert (finding.kind, finding.level, finding.value) == ("rate", "upper soft", 7_000)
    assert (finding.bound, accepted.asks) == (6_000, 1 << library.RATE)
    # To name it at once is not to have been asked.
    for overrides in (accepted.asks, 0, 0):
        error = found.refused(client.start, accepted.program_id, overrides)
        assert (error.code, error.asks) == (SOFT_LIMIT + library.RATE, accepted.asks)
    assert client.status().state == "programmed"
    assert found.events(journal.OVERRIDDEN) == []
    client.start(accepted.program_id, accepted.asks)
    (overridden,) = found.events(journal.OVERRIDDEN)
    assert overridden.text == "rate, upper soft: 7,000 µL/h"
    for _ in range(3):
        assert client.status().overrides == ("rate",)
        found.wait(3_600)
    assert client.status().state == "completed"
    assert client.status().overrides == ("rate",)
    prescribe(found, **SMALL)
    assert client.status().overrides == ()


@pytest.mark.parametrize("wrong", [1 << library.DOSE, 0xFFFF, 1 << library.RATE | 1 << 15])
def test_an_override_names_exactly_what_was_asked_about(wrong):
    found = bedside()
    accepted = prescribe(found, **{**SMALL, "rate_ul_h": 7_000})
    found.refused(found.client.start, accepted.program_id)
    assert found.refused(found.client.start, accepted.program_id, wrong).asks == accepted.asks
    assert found.client.status().state == "programmed"


def test_a_confirmation_comes_in_time():
    found = bedside()
    accepted = prescribe(found, **{**SMALL, "rate_ul_h": 7_000})
    start = found.client.start
    found.refused(start, accepted.program_id)
    found.wait(CONFIRM_WITHIN_S + 1)
    found.refused(start, accepted.program_id, accepted.asks)
    # That was asking anew.
    found.wait(CONFIRM_WITHIN_S - 1)
    start(accepted.program_id, accepted.asks)


def test_another_program_in_between_has_to_be_confirmed_by_itself():
    found = bedside()
    first = prescribe(found, **{**SMALL, "rate_ul_h": 7_000})
    found.refused(found.client.start, first.program_id)
    second = prescribe(found, **{**SMALL, "rate_ul_h": 9_000})
    assert second.asks == first.asks
    found.refused(found.client.start, second.program_id, second.asks)


def test_a_program_that_a_drug_is_not_given_by_is_refused():
    found = bedside()
    error = found.refused(prescribe, found, INTERMITTENT)
    assert error.code == HARD_LIMIT + 11
    assert "this kind of program" in error.what


@pytest.mark.parametrize(
    ("wishes", "standing"),
    [
        ({"drug_id": ""}, "drug not in the library"),
        ({"drug_id": "moonshine"}, "drug not in the library"),
        ({"care_area": "moon"}, "care area not in the library"),
        ({"care_area": ""}, "care area not in the library"),
        ({"concentration_mantissa": 2}, "concentration not in the library"),
        ({"concentration_in": 0}, "concentration not in the library"),
        ({"concentration_in": library.MILLIUNITS}, "concentration not in the library"),
        ({"drug_id": "lipids"}, "concentration not in the library"),
    ],
)
def test_outside_the_library_is_confirmed_and_shown(wishes, standing):
    found = bedside()
    accepted = prescribe(found, **{**SMALL, **wishes})
    assert (accepted.library, accepted.asks) == (standing, 1 << prescription.OUTSIDE_BIT)
    error = found.refused(found.client.start, accepted.program_id)
    assert error.code == NOT_IN_LIBRARY
    found.client.start(accepted.program_id, error.asks)
    status = found.client.status()
    assert (status.library, status.overrides) == (standing, ("outside",))
    assert found.events(journal.OUTSIDE_LIBRARY)[0].text == standing
    assert found.events(journal.OVERRIDDEN)[0].text == standing


def test_without_a_library_that_is_shown_and_nothing_is_asked():
    found = bedside(b"")
    accepted = prescribe(found, **{**SMALL, "rate_ul_h": 90_000})
    assert (accepted.library, accepted.asks) == ("no library", 0)
    found.client.start(accepted.program_id)
    assert found.client.status().library == "no library"
    assert found.events(journal.OUTSIDE_LIBRARY)[0].text == "no library"


def test_a_purge_is_nobodys_dose():
    found = bedside()
    accepted = prescribe(found, PURGE)
    assert (accepted.library, accepted.asks) == ("not judged", 0)
    found.client.start(accepted.program_id)


def test_a_demand_and_its_lockout_are_judged_when_they_are_programmed():
    found = bedside()
    pca = {"vtbi_ul": 20_000, "rate_ul_h": 1_000, "window_1_s": 3600, "limit_1_ul": 8_000}
    assert prescribe(found, PCA, **pca, demand_ul=1_000).asks & 1 << library.DEMAND == 0
    assert prescribe(found, PCA, **pca, demand_ul=1_001).asks >> library.DEMAND & 1
    error = found.refused(prescribe, found, PCA, **pca, demand_ul=2_001)
    assert error.code == HARD_LIMIT + library.DEMAND
    error = found.refused(prescribe, found, PCA, **pca, lockout_s=299)
    assert error.code == HARD_LIMIT + library.LOCKOUT
    assert "at least 300 s" in error.what


# -- titration ------------------------------------------------------------------------------------


def test_a_titration_is_judged_like_a_program():
    found = infusing()
    client = found.client
    client.set_rate(6_000)
    error = found.refused(client.set_rate, 10_001)
    assert (error.code, error.asks) == (HARD_LIMIT + library.RATE, 0)
    error = found.refused(client.set_rate, 6_001)
    assert (error.code, error.asks) == (SOFT_LIMIT + library.RATE, 1 << library.RATE)
    assert client.status().rate_ul_h == 6_000
    # Another rate was not asked about.
    found.refused(client.set_rate, 6_002, error.asks)
    found.refused(client.set_rate, 6_001, error.asks)
    client.set_rate(6_001, error.asks)
    found.wait(1)
    assert client.status().rate_ul_h == 6_001
    assert client.status().overrides == ("rate",)
    (overridden,) = found.events(journal.OVERRIDDEN)
    assert overridden.text == "rate, upper soft: 6,001 µL/h"
    # Back within, and beyond again: it is asked again, and the sign stays.
    client.set_rate(3_000)
    assert client.status().overrides == ("rate",)
    assert found.refused(client.set_rate, 6_001).asks
    # What is overridden already is not asked about twice.
    client.set_rate(999, found.refused(client.set_rate, 999).asks)
    client.set_rate(999)


def test_several_soft_limits_are_overridden_together():
    found = infusing(rate_ul_h=1_000, vtbi_ul=48_000)
    error = found.refused(found.client.set_rate, 7_000)
    assert error.asks == 1 << library.RATE | 1 << library.DAILY
    found.refused(found.client.set_rate, 7_000, 1 << library.RATE)
    found.client.set_rate(7_000, error.asks)
    assert found.client.status().overrides == ("rate", "daily")


# -- boluses --------------------------------------------------------------------------------------


def test_a_bolus_is_judged_by_itself():
    found = infusing()
    client = found.client
    give = {"rate_ul_h": 120_000}
    error = found.refused(client.bolus, 4_001, **give)
    assert (error.code, error.field) == (HARD_LIMIT + library.BOLUS, "volume_ul")
    error = found.refused(client.bolus, 2_001, **give)
    assert (error.code, error.asks) == (SOFT_LIMIT + library.BOLUS, 1 << library.BOLUS)
    # The same amount in another way is another bolus.
    found.refused(client.bolus, 2_001, rate_ul_h=60_000, overrides=error.asks)
    found.refused(client.bolus, 2_001, **give)
    client.bolus(2_001, **give, overrides=error.asks)
    found.wait(300)
    assert client.status().bolus_ul == pytest.approx(2_001, abs=1)
    client.bolus(2_000, **give)
    assert client.status().overrides == ("bolus",)


def test_boluses_count_towards_the_day():
    # 1 mL/h for 24 h are 24 mL, of 48 mL; 16 mL of boluses reach the soft limit of 40 mL a day.
    found = infusing(rate_ul_h=1_000, vtbi_ul=48_000)
    client = found.client
    for _ in range(8):
        client.bolus(2_000, rate_ul_h=600_000)
        found.wait(60)
    error = found.refused(client.bolus, 100, rate_ul_h=600_000)
    assert (error.code, error.asks) == (SOFT_LIMIT + library.DAILY, 1 << library.DAILY)
    # A day later they are forgotten; of the VTBI half is left.
    found.wait(24 * 3600 - 480)
    client.bolus(100, rate_ul_h=600_000)


def test_a_bolus_of_which_little_was_given_counts_little():
    found = infusing(rate_ul_h=1_000, vtbi_ul=48_000)
    client = found.client
    for _ in range(20):
        client.bolus(2_000, rate_ul_h=60_000)
        found.wait(1)
        client.pause()
        client.resume()
        found.wait(1)
    status = client.status()
    assert status.bolus_ul < 1_000
    client.bolus(2_000, rate_ul_h=600_000)


def test_in_a_pca_its_windows_limit_boluses_too():
    found = bedside()
    pca = {"vtbi_ul": 20_000, "rate_ul_h": 1_000, "window_1_s": 3600, "limit_1_ul": 8_000}
    accepted = prescribe(found, PCA, **pca)
    client = found.client
    found.refused(client.start, accepted.program_id)
    client.start(accepted.program_id, accepted.asks)
    found.wait(10)
    assert found.refused(client.bolus, 4_001, rate_ul_h=60_000).code == HARD_LIMIT + library.BOLUS
    client.bolus(2_000, rate_ul_h=600_000)


# -- secondary, container, drug -------------------------------------------------------------------


def test_a_secondary_is_judged_by_its_own_drug():
    found = infusing()
    client = found.client
    second = {"content_ul": 30_000, "vtbi_ul": 10_000, **OF_VANCOMYCIN}
    error = found.refused(client.secondary, **{**second, "vtbi_ul": 20_001}, rate_ul_h=20_001)
    assert error.code == HARD_LIMIT + library.DOSE
    # Too fast: an hour at the least.
    error = found.refused(client.secondary, **second, rate_ul_h=10_001)
    assert error.code == HARD_LIMIT + library.DURATION
    accepted = client.secondary(**{**second, "vtbi_ul": 10_001}, rate_ul_h=10_000)
    assert accepted.asks == 1 << library.DOSE
    found.refused(client.start, accepted.program_id)
    client.start(accepted.program_id, accepted.asks)
    found.wait(60)
    status = client.status()
    assert (status.drug_id, status.overrides) == ("vancomycin", ("dose",))
    found.wait(3_700)
    status = client.status()
    assert (status.state, status.drug_id, status.overrides) == ("infusing", "morphine", ())


def test_another_drug_stops_the_infusion():
    found = infusing()
    client = found.client
    error = found.refused(prescribe, found, INTERMITTENT, **OF_VANCOMYCIN)
    assert error.code == controller.DRUG_IS_CHANGED
    assert client.status().state == "stopped"
    (changed,) = found.events(journal.DRUG_CHANGED)
    assert changed.text == "vancomycin"
    fields = {**OF_VANCOMYCIN, "dose_ul": 10_000, "rate_ul_h": 10_000, "interval_s": 7_200}
    prescribe(found, INTERMITTENT, **fields, content_ul=40_000)


def test_the_same_drug_while_it_runs_is_only_refused():
    found = infusing()
    assert found.refused(prescribe, found, **SMALL).code == controller.WRONG_STATE
    assert found.client.status().state == "infusing"


@pytest.mark.parametrize("state", ["programmed", "paused"])
def test_a_container_of_another_drug_ends_the_therapy(state):
    found = infusing() if state == "paused" else bedside()
    client = found.client
    if state == "paused":
        client.pause()
    else:
        prescribe(found, **SMALL)
    client.change_container(30_000, "morphine")
    assert client.status().content_ul == pytest.approx(30_000, abs=1)
    error = found.refused(client.change_container, 40_000, "vancomycin")
    assert error.code == controller.DRUG_IS_CHANGED
    status = client.status()
    assert status.state == "stopped"
    assert status.content_ul == pytest.approx(30_000, abs=1)


# -- laws -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(rate_ul_h=st.integers(100, 12_000), later_ul_h=st.integers(100, 12_000))
def test_no_rate_flows_beyond_a_hard_limit_or_unconfirmed_beyond_a_soft_one(rate_ul_h, later_ul_h):
    """Whichever way it is asked for, and however often; and nothing within is refused."""
    found = bedside()
    client = found.client
    wishes = {**SMALL, "rate_ul_h": rate_ul_h}
    if rate_ul_h > 10_000:
        assert found.refused(prescribe, found, **wishes).code == HARD_LIMIT + library.RATE
        return
    accepted = prescribe(found, **wishes)
    is_soft = not 1_000 <= rate_ul_h <= 6_000
    assert bool(accepted.asks) == is_soft
    if is_soft:
        found.refused(client.start, accepted.program_id)
    client.start(accepted.program_id, accepted.asks)
    if later_ul_h > 10_000:
        assert found.refused(client.set_rate, later_ul_h).code == HARD_LIMIT + library.RATE
        assert client.status().rate_ul_h == rate_ul_h
    elif 1_000 <= later_ul_h <= 6_000 or later_ul_h == rate_ul_h:
        client.set_rate(later_ul_h)
    else:
        client.set_rate(later_ul_h, found.refused(client.set_rate, later_ul_h).asks)
    flows_ul_h = client.status().rate_ul_h
    assert flows_ul_h <= 10_000
    if not 1_000 <= flows_ul_h <= 6_000:
        assert "rate" in client.status().overrides


@given(
    kind=st.sampled_from([*range(library.KINDS), governor.PROGRAM, governor.WEIGHT]),
    level=st.sampled_from([library.LOWER_HARD, library.UPPER_SOFT, library.UPPER_HARD]),
)
def test_every_finding_has_a_number_of_its_own(kind, level):
    code = prescription.code_of((kind, level, "", 0, 0))
    assert HARD_LIMIT <= code < NOT_IN_LIBRARY
    assert (code < SOFT_LIMIT) == governor.is_hard(level)
