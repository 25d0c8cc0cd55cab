"""The pytest plugin: one suite, several benches.

``pytest -p micropump_hil.plugin --bench emulated --bench desk.toml`` runs every test that asks for
``bench`` on each bench that has what the test needs; the others are skipped, with the reason. A
test that leaves the pump running has failed.
"""

import os
from collections.abc import Callable, Generator, Iterator

import pytest

from micropump_hil.benches import FEATURES, Bench, BenchSpec, spec_of
from micropump_hil.benches.bench import KINDS
from micropump_hil.benches.specs import NAMES
from micropump_host.client import Pump
from micropump_host.errors import MicropumpError

REQUIRE_VARIABLE = "MICROPUMP_REQUIRE_EMULATED"
_SPECS = pytest.StashKey[dict[str, BenchSpec]]()
_BENCH = pytest.StashKey[Bench]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--bench``."""
    parser.getgroup("micropump").addoption(
        "--bench",
        action="append",
        metavar="BENCH",
        help=f"{', '.join(NAMES)}, or a bench file (.toml); may be repeated; "
        "all but bench files if not given",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and look which benches there are."""
    config.addinivalue_line("markers", "needs(*features): what the bench has to have; docs/hil.md")
    config.addinivalue_line(
        "markers", "fitted(kind): 'syringe' (the default) or 'peristaltic' on the bench"
    )
    config.stash[_SPECS] = {}


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say on which benches, and with which image."""
    return [
        "bench " + ", ".join(f"{key} {value}" for key, value in spec.properties.items())
        for spec in _specs(config).values()
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever asks for a bench once on each."""
    if "bench" in metafunc.fixturenames:
        metafunc.parametrize("bench", list(_specs(metafunc.config)), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, by name, what a bench has not got."""
    for item in items:
        needs = _needs(item)
        callspec = getattr(item, "callspec", None)
        if callspec is None or "bench" not in callspec.params:
            continue
        reason = _reason_to_skip(_specs(config)[callspec.params["bench"]], needs)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that leaves the pump running."""
    result = yield
    bench = item.stash.get(_BENCH, None)
    if bench is not None and (state := bench.left_running()):
        pytest.fail(f"the test left the pump {state}", pytrace=False)
    return result


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A pump on a bench, switched on and idle; put away after the test."""
    spec = _specs(request.config)[request.param]
    if spec.broken:
        pytest.skip(f"bench {spec.name} is broken, see the first failure: {spec.broken.what}")
    made = spec.open(_kind(request.node))
    # Of the suite alone they would be lost where tests are spread over processes.
    request.node.user_properties.extend(spec.properties.items())
    request.getfixturevalue("_suite_properties")(spec, made)
    request.node.stash[_BENCH] = made
    try:
        yield made
    finally:
        del request.node.stash[_BENCH]
        made.close()


@pytest.fixture
def pump(bench: Bench) -> Pump:
    """The bench's client, connected."""
    return bench.pump


@pytest.fixture(scope="session")
def _suite_properties(
    record_testsuite_property: Callable[[str, object], None],
) -> Callable[[BenchSpec, Bench], None]:
    """Record what ran where, once for each bench."""
    recorded: set[str] = set()

    def record(spec: BenchSpec, made: Bench) -> None:
        if spec.name in recorded:
            return
        recorded.add(spec.name)
        info = made.pump.info
        facts = {
            **spec.properties,
            "firmware": info.firmware,
            "content": info.content,
            "interpreter": info.interpreter,
            "board": info.board,
        }
        for key, value in facts.items():
            record_testsuite_property(f"{spec.name}.{key}", value)

    return record


def _specs(config: pytest.Config) -> dict[str, BenchSpec]:
    """The benches of this run by name, looked for once."""
    specs = config.stash[_SPECS]
    if not specs:
        for name in config.getoption("--bench") or NAMES:
            try:
                specs[name] = spec_of(name)
            except MicropumpError as error:
                raise pytest.UsageError(str(error)) from None
    return specs


def _needs(item: pytest.Item) -> set[str]:
    needs = {_kind(item)}
    for marker in item.iter_markers("needs"):
        needs.update(marker.args)
    for word in needs:
        if word not in FEATURES:
            known = ", ".join(sorted(FEATURES))
            raise pytest.UsageError(f"{item.nodeid}: needs({word!r}); known are {known}")
    return needs


def _kind(item: pytest.Item) -> str:
    marker = item.get_closest_marker("fitted")
    kind = str(marker.args[0]) if marker else _parametrized_kind(item)
    if kind not in KINDS:
        raise pytest.UsageError(f"{item.nodeid}: fitted({kind!r}); known are {', '.join(KINDS)}")
    return kind


def _parametrized_kind(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("fitted", "syringe")) if callspec else "syringe"


def _reason_to_skip(spec: BenchSpec, needs: set[str]) -> str:
    if spec.missing:
        # An error then, raised by the first test that would have used it.
        return "" if _is_required() else f"bench {spec.name}: {spec.missing}"
    lacks = sorted(needs - spec.has)
    if not lacks:
        return ""
    return f"bench {spec.name} has no " + ", no ".join(f"{w} ({FEATURES[w]})" for w in lacks)


def _is_required() -> bool:
    return os.environ.get(REQUIRE_VARIABLE, "") not in ("", "0")
