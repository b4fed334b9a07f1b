"""Settings come from one file, variables and options; what nobody reads fails at the start, with the nearest name."""

from pathlib import Path
from typing import Any

import pytest

from knowngood.config import ELSEWHERE, FOR_TESTS, Settings, read_settings
from knowngood_sdk.errors import InvalidError, NotFoundError

NOTHING: dict[str, str] = {}


def settings_of(folder: Path, text: str, name: str = "knowngood.yaml", **more: Any) -> Settings:
    """Read a file with some text."""
    (folder / name).write_text(text)
    return read_settings(folder / name, more.get("environment", NOTHING), more.get("options", {}))


def test_without_anything_a_server_listens_on_this_host_alone() -> None:
    found = read_settings(None, NOTHING, {})
    assert (found.host, found.port, found.insecure, found.component_roots) == ("127.0.0.1", 8400, False, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "knowngood.yaml",
            "port: 9000\nstore: postgresql://db/kg\ncomponent_roots: [/srv/a, /srv/b]\ninsecure: true\n",
        ),
        (
            "knowngood.toml",
            'port = 9000\nstore = "postgresql://db/kg"\ncomponent_roots = ["/srv/a", "/srv/b"]\ninsecure = true\n',
        ),
    ],
)
def test_a_file_may_be_yaml_or_toml(tmp_path: Path, name: str, text: str) -> None:
    found = settings_of(tmp_path, text, name)
    assert (found.port, found.store, found.insecure) == (9000, "postgresql://db/kg", True)
    assert found.component_roots == (Path("/srv/a"), Path("/srv/b"))


def test_a_variable_goes_before_the_file_and_an_option_before_both(tmp_path: Path) -> None:
    environment = {"KNOWNGOOD_PORT": "9001", "KNOWNGOOD_WATCH_SECONDS": "0.5", "PATH": "/bin"}
    found = settings_of(tmp_path, "port: 9000\nhost: ::1\n", environment=environment, options={"host": None})
    assert (found.port, found.host, found.watch_seconds) == (9001, "::1", 0.5)
    assert read_settings(None, environment, {"port": 9002}).port == 9002


def test_a_list_in_a_variable_is_parted_by_colons() -> None:
    found = read_settings(None, {"KNOWNGOOD_COMPONENT_ROOTS": "/srv/a:/srv/b"}, {})
    assert found.component_roots == (Path("/srv/a"), Path("/srv/b"))
    assert read_settings(None, {"KNOWNGOOD_COMPONENT_ROOTS": ""}, {}).component_roots == ()


@pytest.mark.parametrize("name", sorted(ELSEWHERE | FOR_TESTS))
def test_variables_that_others_read_are_left_to_them(name: str) -> None:
    read_settings(None, {name: "x"}, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("prot: 1", "unknown key 'prot'. Did you mean 'port'?", id="a mistyped key"),
        pytest.param("source: x", "unknown key 'source'", id="a key that is ours"),
        pytest.param("- port", "is no mapping", id="a list"),
        pytest.param("port: many", "is 'many', which is no whole number", id="no number"),
        pytest.param("port: 70000", "port is 70000", id="no port"),
        pytest.param("port: true", "which is no number", id="a truth value for a number"),
        pytest.param("insecure: maybe", "neither true nor false", id="no truth value"),
        pytest.param("component_roots: [work]", "the component root work is not absolute", id="a relative root"),
        pytest.param("component_roots: 5", "no list of folders", id="no list"),
        pytest.param("tls_cert: cert.pem", "both a certificate and its key", id="half of TLS"),
        pytest.param("watch_seconds: 0", "watch_seconds is 0", id="no time at all"),
        pytest.param("grace_seconds: 31536001", "grace_seconds is 31536001", id="a time longer than a year"),
        pytest.param("body_bytes: 0", "body_bytes is 0", id="no body at all"),
        pytest.param("hold_seconds: -1", "hold_seconds is -1", id="a canary that takes all traffic unseen"),
        pytest.param("log: xml", "log is 'xml'", id="another form of log"),
        pytest.param("host: [a]", "which is no text", id="no text"),
    ],
)
def test_what_a_file_says_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidError) as refused:
        settings_of(tmp_path, text)
    assert said in str(refused.value)


def test_a_canary_may_be_held_for_no_time_and_any_time_may_be_a_year(tmp_path: Path) -> None:
    found = settings_of(tmp_path, "hold_seconds: 0\nwatch_seconds: 31536000\n")
    assert (found.hold_seconds, found.watch_seconds) == (0, 31536000)


@pytest.mark.parametrize("name", ["watch_seconds", "lease_seconds", "grace_seconds", "hold_seconds"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_time_that_is_no_finite_number_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidError, match=f"{name} is {value}"):
        read_settings(None, {f"KNOWNGOOD_{name.upper()}": value}, {})


def test_a_mistyped_variable_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(InvalidError, match=r"KNOWNGOOD_PROT is unknown\. Did you mean 'KNOWNGOOD_PORT'"):
        read_settings(None, {"KNOWNGOOD_PROT": "1"}, {})


def test_variables_of_drills_and_tests_are_proposed_to_nobody() -> None:
    with pytest.raises(InvalidError) as refused:
        read_settings(None, {"KNOWNGOOD_FAULTS": "1"}, {})
    assert "KNOWNGOOD_URL" in refused.value.hint
    assert not [name for name in FOR_TESTS if name in refused.value.hint]


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no configuration"):
        read_settings(tmp_path / "absent.yaml", NOTHING, {})
    with pytest.raises(InvalidError, match="is no TOML"):
        settings_of(tmp_path, "port 1", "knowngood.toml")


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "# nothing yet\n").port == 8400
