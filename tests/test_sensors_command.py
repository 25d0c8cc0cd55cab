"""Sensors, settings, the sound's pause and a closed line on the command line."""

import contextlib
import dataclasses
import io
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from served import Said, assert_explained, flat
from sickbed import Sickbed

from micropump import occlusion, sensing
from micropump.mechanism import KIND_PERISTALTIC
from micropump_host.bench.sensors import Fault
from micropump_host.cli import common, follow, main, sensors, settings
from micropump_host.cli.control import signal_text
from micropump_host.client import SensorValue
from micropump_host.client.answers import SENSOR_UNITS
from micropump_host.errors import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE

REPO = Path(__file__).resolve().parent.parent
ALL_OF_A_SYRINGE = (
    "pressure", "force", "air", "barrel", "plunger", "encoder", "battery", "rail", "temperature",
    "door", "end_stop",
)  # fmt: skip


class Commands:
    """The command line at a bed, whose time goes on only while a command sleeps."""

    def __init__(self, bed, capsys, monkeypatch) -> None:
        self.bed = bed
        self._capsys = capsys
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(common, "Pump", lambda *_, **__: contextlib.nullcontext(bed.client))
        clock = SimpleNamespace(sleep=self.sleep)
        for module in (sensors, follow):
            monkeypatch.setattr(module, "time", clock)
        self.on_sleep = lambda: None

    def sleep(self, time_s) -> None:
        self.bed.wait(time_s)
        self.on_sleep()

    def __call__(self, *words) -> Said:
        self._capsys.readouterr()
        try:
            code = main([*map(str, words), "--port", "virtual"])
        except SystemExit as left:
            code = left.code
        return Said(code, *self._capsys.readouterr())


@pytest.fixture
def at(capsys, monkeypatch):
    return lambda bed: Commands(bed, capsys, monkeypatch)


def rows_of(said):
    """The table's rows by their first cell; the other cells as texts."""
    cells = [re.split(r"\s*[│┃]\s*", line)[1:-1] for line in said.out.splitlines()]
    return {row[0]: row[1:] for row in cells if row}


def closed(bed, **choice):
    """Have the line closed behind an infusion that has run for a minute."""
    if choice:
        bed.client.choose(**choice)
    bed.infuse(100_000)
    bed.wait(60)
    bed.plant.occlude()


# -- sensors ---------------------------------------------------------------------------------------


def test_every_sensor_of_a_syringe_pump_has_a_row_in_people_s_units(at):
    rows = rows_of(at(Sickbed(sensors=ALL_OF_A_SYRINGE))("sensors"))
    assert tuple(name for name in rows if name != "sensor") == ALL_OF_A_SYRINGE
    patterns = {
        "pressure": r"-?\d+\.\d kPa", "force": r"-?\d+\.\d\d N", "air": r"-?\d+\.\d % air",
        "barrel": r"\d+\.\d\d mm", "plunger": r"\d+\.\d\d mm", "encoder": r"\d+\.\d°",
        "battery": r"\d+\.\d\d V", "rail": r"\d+\.\d\d V", "temperature": r"\d+\.\d °C",
        "door": "closed", "end_stop": "free",
    }  # fmt: skip
    for name, pattern in patterns.items():
        assert re.fullmatch(pattern, rows[name][0]), rows[name]
        assert rows[name][1] == ""


def test_a_head_shows_its_supply_s_pressure(at):
    bed = Sickbed(sensors=("upstream",), kind=KIND_PERISTALTIC, drive_id="direct-16")
    assert re.fullmatch(r"-?\d+\.\d kPa", rows_of(at(bed)("sensors"))["upstream"][0])


def test_what_is_shown_is_what_the_line_has(at):
    bed = Sickbed()
    closed(bed)
    bed.wait(5)
    true_kpa = bed.plant.pressure_pa / 1000
    shown = rows_of(at(bed)("sensors"))["pressure"][0]
    assert true_kpa > 10
    # Measured: 10.8 kPa shown, 10.5 kPa in the line.
    assert float(shown.removesuffix(" kPa")) == pytest.approx(true_kpa, abs=1)


def test_json_has_the_pump_s_own_figures(at):
    bed = Sickbed(sensors=("pressure", "door"))
    said = at(bed)("sensors", "--json")
    assert said.code == EXIT_DONE
    assert said.json == {"sensors": [dataclasses.asdict(each) for each in bed.client.sensors()]}
    assert [each["unit"] for each in said.json["sensors"]] == ["Pa", "open"]


@pytest.mark.parametrize("fault", ["open", "shorted", "silent"])
def test_a_fault_is_named_beside_the_last_value_that_could_be(at, fault):
    bed = Sickbed(sensors=("pressure", "door"))
    command = at(bed)
    bed.bench.suite.harm("pressure", Fault(fault))
    bed.wait(2)
    value, named = rows_of(command("sensors"))["pressure"]
    assert named == fault
    # A line at rest has a few kPa; what 0 V or 5 V would be is a hundred times that.
    assert abs(float(value.removesuffix(" kPa"))) < 5
    assert rows_of(command("sensors"))["door"] == ["closed", ""]


def test_a_fault_is_red(at, monkeypatch):
    bed = Sickbed()
    bed.bench.suite.harm("pressure", Fault.SHORTED)
    bed.wait(2)
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, color_system="standard")
    monkeypatch.setattr(sensors, "console", terminal)
    at(bed)("sensors")
    assert re.search(r"\x1b\[31m\s*shorted", screen.getvalue())


def test_a_pump_without_sensors_says_so(at):
    command = at(Sickbed(sensors=()))
    said = command("sensors")
    assert said.code == EXIT_DONE
    assert "None is fitted." in said.out
    assert command("sensors", "--json").json == {"sensors": []}


@pytest.fixture
def watched(at):
    """A pump whose person presses Ctrl-C in the third second, and opens the door in the second."""
    bed = Sickbed(sensors=("door",))
    command = at(bed)
    seconds = itertools.count(1)

    def pass_by():
        second = next(seconds)
        if second == 1:
            bed.bench.suite.around.door_is_open = True
            bed.wait(1)
        if second == 3:
            raise KeyboardInterrupt

    command.on_sleep = pass_by
    return command


def test_watch_repeats_until_ctrl_c(watched):
    said = watched("sensors", "--watch")
    assert said.code == EXIT_DONE
    assert "interrupted" not in said.err
    assert re.findall(r"door\s*│\s*(\w+)", said.out) == ["closed", "open", "open"]


def test_watch_writes_an_object_a_line(watched):
    said = watched("sensors", "--watch", "--json")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["sensors"][0]["value"] for line in lines] == [0, 1, 1]


def test_watch_on_a_terminal_shows_one_table(watched, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sensors, "console", Console(file=screen, force_terminal=True, width=80))
    assert watched("sensors", "--watch").code == EXIT_DONE
    # It goes back up over the table that was there: CSI n A, or line by line.
    assert "\x1b[1A" in screen.getvalue()
    assert "open" in screen.getvalue()


def test_watching_a_pump_that_goes_away_is_an_error(watched, monkeypatch):
    watched.on_sleep = lambda: monkeypatch.setattr(watched.bed.bench, "receive", lambda *_: b"")
    watched.bed.client.timeout_s = 0.001
    assert_explained(watched("sensors", "--watch"), EXIT_REFUSED, "no answer within")


SCALES = {"Pa": 1000, "mN": 1000, "‰ air": 10, "µm": 1000, "mV": 1000, "0.1 °C": 10,
          "counts": 4096 / 360}  # fmt: skip


@example("Pa", -3)
@given(st.sampled_from(sorted(SCALES)), st.integers(-(2**23), 2**23))
def test_a_value_is_shown_to_half_its_last_digit(unit, value):
    text = sensors.value_text(SensorValue("any", value, unit, ""))
    number = re.match(r"-?\d+\.(\d+)", text)
    # Half a digit, and what binary fractions add to it.
    half = 0.5 * 10.0 ** -len(number[1]) + 1e-9
    assert float(number[0]) == pytest.approx(value / SCALES[unit], rel=0, abs=half)
    assert not re.fullmatch(r"-0\.0+", number[0])


def test_every_unit_of_a_sensor_can_be_shown():
    texts = [sensors.value_text(SensorValue("any", 1, unit, "")) for unit in SENSOR_UNITS]
    assert texts == [
        "0.0 kPa", "0.00 N", "0.0 kPa", "0.1 % air", "0.00 mm", "0.00 mm", "0.1°", "0.00 V",
        "0.00 V", "0.1 °C", "open", "pressed",
    ]  # fmt: skip


# -- mute, and what the status says ----------------------------------------------------------------


def test_mute_pauses_the_sound_for_two_minutes_and_no_longer(at):
    bed = Sickbed(sensors=("door",))
    command = at(bed)
    bed.infuse(100_000)
    bed.bench.suite.around.door_is_open = True
    bed.until("alarm", within_s=10)
    assert rows_of(command("status"))["signal"] == ["high, sounding"]
    said = command("mute")
    assert said.code == EXIT_DONE
    assert rows_of(said)["signal"] == ["high, sound paused"]
    status = command("status", "--json").json
    assert (status["sound"], status["light"], status["audio_paused"]) == ("", "high", True)
    bed.wait(60)
    assert_explained(command("mute"), EXIT_REFUSED, "the sound is paused already", "two minutes")
    bed.wait(59)
    assert rows_of(command("status"))["signal"] == ["high, sound paused"]
    bed.wait(2)
    assert rows_of(command("status"))["signal"] == ["high, sounding"]
    assert len(bed.events("audio paused")) == 1


def test_where_nothing_sounds_there_is_nothing_to_mute(at):
    command = at(Sickbed())
    said = command("mute", "--json")
    assert_explained(said, EXIT_REFUSED, "no alarm is active")
    assert said.json["error"] == "no alarm is active"
    assert "signal" not in rows_of(command("status"))


def test_a_standby_puts_the_reminder_of_a_pause_off(at):
    bed = Sickbed()
    command = at(bed)
    bed.infuse(100_000)
    assert rows_of(command("pause"))["reminder in"] == ["0:15:00"]
    assert rows_of(command("pause", "--standby", "30 min"))["reminder in"] == ["0:30:00"]
    bed.wait(1_799)
    status = command("status", "--json").json
    assert (status["state"], status["alarms"], status["reminder_s"]) == ("paused", [], 1)
    bed.wait(2)
    assert command("status", "--json").json["alarms"] == ["paused_long"]
    assert "reminder in" not in rows_of(command("status"))
    assert len(bed.events("standby")) == 1


@pytest.mark.parametrize("standby", ["59 s", "24.5 h", "soon"])
def test_a_standby_is_of_a_minute_to_a_day(at, standby):
    command = at(Sickbed())
    assert_explained(command("pause", "--standby", standby), EXIT_USAGE, "--standby")


def test_a_pump_that_does_nothing_has_no_standby(at):
    command = at(Sickbed())
    assert_explained(command("pause", "--standby", "2 h"), EXIT_REFUSED)


@pytest.mark.parametrize(
    ("light", "sound", "paused", "text"),
    [
        ("high", "high", False, "high, sounding"),
        ("high", "", True, "high, sound paused"),
        ("low", "high", False, "low, sounding"),
        ("low", "", False, "low"),
    ],
)
def test_a_signal_in_words(light, sound, paused, text):
    status = SimpleNamespace(light=light, sound=sound, audio_paused=paused)
    assert signal_text(status) == text


# -- settings --------------------------------------------------------------------------------------


def chosen(bed):
    controller = bed.ground.pump.controller
    return controller.restarts, controller.occlusion_level, controller.near_end_min


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (5, 7, 100)),
        (("--restarts", 2, "--occlusion-level", 3, "--near-end", "10 min"), (2, 3, 10)),
        (("--restarts", 0), (0, 7, 100)),
        (("--restarts", 9), (9, 7, 100)),
        (("--occlusion-level", "60 kPa"), (5, 5, 100)),
        (("--occlusion-level", "120kPa"), (5, 9, 100)),
        (("--occlusion-level", "0"), (5, 0, 100)),
        (("--near-end", "off"), (5, 7, 0)),
        (("--near-end", "4 h"), (5, 7, 240)),
        (("--near-end", "00:30"), (5, 7, 30)),
    ],
)
def test_settings_are_set_and_what_is_not_named_stays(at, words, expected):
    bed = Sickbed()
    bed.client.choose(restarts=5, occlusion_level=7, near_end_min=100)
    command = at(bed)
    said = command("settings", *words, "--json")
    assert said.code == EXIT_DONE, said.err
    assert chosen(bed) == expected
    printed = said.json
    kpa = printed.pop("occlusion_kpa")
    assert tuple(printed.values()) == expected
    level = expected[1]
    assert kpa == (occlusion.OCCLUSION_LEVELS_PA[level - 1] / 1000 if level else None)


def test_the_table_says_what_was_not_named(at):
    command = at(Sickbed())
    rows = rows_of(command("settings", "--occlusion-level", "45 kPa"))
    assert rows["occlusion limit"] == ["45 kPa, level 4", ""]
    assert rows["restarts in 10 min"] == ["0", "as it was"]
    assert rows["tells its end"] == ["3 min before", "as it was"]
    rows = rows_of(command("settings"))
    assert rows["occlusion limit"] == ["45 kPa, level 4", ""]
    assert rows["restarts in 10 min"] == ["0", ""]


def test_settings_are_shown_while_anything_flows_and_are_on_record(at):
    bed = Sickbed()
    command = at(bed)
    command("settings", "--restarts", "2", "--near-end", "7 min")
    bed.infuse(5_000)
    assert command("settings", "--json").json["restarts"] == 2
    (event,) = [event for event in bed.client.events() if event.name == "settings changed"]
    assert "7 min" in event.text
    assert event.a == 2


@pytest.mark.parametrize("number", range(1, 10))
def test_a_level_is_its_number_and_its_pressure(number):
    kpa = occlusion.OCCLUSION_LEVELS_PA[number - 1] / 1000
    assert settings.occlusion_level(str(number)) == number
    assert settings.occlusion_level(f"{kpa:g} kPa") == number


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--restarts", "10"), "10 restarts cannot be set"),
        (("--restarts", "-1"), "-1 restarts cannot be set"),
        (("--occlusion-level", "10"), 'no occlusion level "10"'),
        (("--occlusion-level", "61 kPa"), "5 (60 kPa)"),
        (("--occlusion-level", "60"), 'no occlusion level "60"'),
        (("--occlusion-level", "nan kPa"), 'no occlusion level "nan kPa"'),
        (("--occlusion-level", "high kPa"), 'no occlusion level "high kPa"'),
        (("--near-end", "241 min"), "at most 240"),
        (("--near-end", "90 s"), "whole minutes"),
        (("--near-end", "0 min"), "not above zero"),
        (("--near-end", "3"), "has no unit"),
    ],
)
def test_a_setting_that_is_none_is_wrong_usage_and_nothing_is_set(at, words, fragment):
    bed = Sickbed()
    bed.client.choose(restarts=5)
    assert_explained(at(bed)("settings", *words), EXIT_USAGE, fragment)
    assert chosen(bed) == (5, 0, 3)


def test_settings_are_refused_while_anything_flows_and_taken_in_a_pause(at):
    bed = Sickbed()
    command = at(bed)
    bed.infuse(5_000)
    bed.wait(1)
    words = ("settings", "--restarts", "1")
    assert_explained(command(*words), EXIT_REFUSED, "not changed while anything flows", "pause")
    assert chosen(bed) == (0, 0, 3)
    command("pause")
    assert command(*words).code == EXIT_DONE
    assert chosen(bed) == (1, 0, 3)


def test_a_level_that_was_set_is_the_one_that_tells(at):
    bed = Sickbed()
    at(bed)("settings", "--occlusion-level", "20 kPa")
    bed.infuse(5_000)
    assert bed.client.predict().level_pa == 20_000


# -- a closed line, followed -----------------------------------------------------------------------


def watch_states(command):
    """The states that are passed through while a command follows."""
    states = []

    def note():
        state = command.bed.client.status().state
        if states[-1:] != [state]:
            states.append(state)

    command.on_sleep = note
    return states


def test_run_follows_the_relief_and_says_how_to_go_on(at):
    bed = Sickbed()
    command = at(bed)
    closed(bed)
    states = watch_states(command)
    said = command("run", "--attach")
    assert said.code == EXIT_REFUSED
    assert states == ["infusing", "relieving", "alarm"]
    assert "alarm: The line is closed" in flat(said.err)
    assert (
        "To go on: open the line, then micropump acknowledge, micropump resume and micropump run"
        " --attach." in flat(said.err)
    )
    # And so it does.
    bed.plant.release()
    assert command("acknowledge").code == EXIT_DONE
    assert command("resume").code == EXIT_DONE
    assert bed.client.status().state == "infusing"


def test_another_alarm_has_no_line_to_open(at):
    bed = Sickbed(sensors=("door",))
    bed.infuse(100_000)
    bed.bench.suite.around.door_is_open = True
    said = at(bed)("run", "--attach")
    assert said.code == EXIT_REFUSED
    assert "open the line" not in flat(said.err)
    assert "remove the cause, then micropump acknowledge" in flat(said.err)


def test_run_follows_on_where_the_pump_starts_again_by_itself(at):
    bed = Sickbed()
    command = at(bed)
    bed.client.choose(restarts=1)
    bed.infuse(100_000, vtbi_ul=5_000)
    bed.wait(60)
    bed.plant.occlude()
    states = watch_states(command)
    noted = command.on_sleep

    def release():
        noted()
        if states[-1] == "relieving" and bed.plant.occluded:
            bed.wait(10)
            bed.plant.release()

    command.on_sleep = release
    said = command("run", "--attach", "--json")
    assert said.code == EXIT_DONE, said.err
    assert states == ["infusing", "relieving", "infusing", "completed"]
    assert said.json["delivered"]


# -- the document ----------------------------------------------------------------------------------


def test_the_document_names_what_is_printed():
    text = (REPO / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text.partition("\n## sensors\n")[2].partition("\n## settings\n")[0]
    names = [field.name for field in dataclasses.fields(SensorValue)]
    for key in (*names, *sensing.FAULT_NAMES[1:], *set(SENSOR_UNITS)):
        assert f"`{key}`" in section, key
    chosen_section = text.partition("\n## settings\n")[2].partition("\n## ")[0]
    for key in ("restarts", "occlusion_level", "occlusion_kpa", "near_end_min"):
        assert f"`{key}`" in chosen_section, key
    for level_pa in occlusion.OCCLUSION_LEVELS_PA:
        assert str(level_pa // 1000) in chosen_section
