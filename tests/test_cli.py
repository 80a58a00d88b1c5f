from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from slamfront.cli import COMMANDS, main
from slamfront.config import RunConfig, dump, from_mapping, load
from slamfront.evaluation.trajectory.results import read_result
from slamfront.geometry.pose import Pose
from slamfront.models.weights import REGISTRY
from slamfront.trajectories import read_tum, write_kitti, write_tum
from slamfront.types import Trajectory
from tests.frames import SAMPLE, copy_sample

FAST = ["--no-threads", "--extractor.kind", "orb", "--extractor.max-keypoints", "300", "--no-plots"]


def circle(count: int = 40, radius_m: float = 2.0) -> Trajectory:
    angles = np.linspace(0, 3, count)
    poses = [Pose.exp(np.array([0, a, 0, 0, 0, 0])) for a in angles]
    shifted = [Pose(p.rotation, radius_m * np.array([np.cos(a), 0, np.sin(a)])) for p, a in zip(poses, angles)]
    return Trajectory.from_poses([50_000_000 * i for i in range(count)], shifted)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr with which a command line is refused."""
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("mine", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_of_a_network_spin_briefly_unless_the_user_wants_otherwise(mine: dict[str, str], spins: str) -> None:
    code = "import os; from slamfront.cli import main; main(['--version']); print(os.environ.get('GOMP_SPINCOUNT'))"
    others = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=others | mine, check=True)
    assert done.stdout.split()[-1] == spins


@pytest.mark.parametrize("words", [[], ["--help"], ["help"]], ids=str)
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert not stop.value.code
    assert f"usage: slamfront {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["fly"], "there is no command 'fly'"),
        (["run"], "SOURCE"),
        (["run", "x", "--trakcer.min-inliers", "3"], "did you mean --tracker.min-inliers"),
        (["run", "x", "--tracker.min-inliers", "many"], "--tracker.min-inliers: invalid literal"),
        (["run", "x", "--sensor", "sonar"], "invalid choice 'sonar'"),
        (["run", "x", "--view", "--headless"], "exclude each other"),
        (["run", "nowhere", "--output", "."], "nowhere does not exist"),
        (["run", "x", "--config", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["eval", "nowhere.tum", "nowhere.tum"], "cannot read nowhere.tum"),
        (["weights", "info"], "needs a name"),
        (["weights", "info", "superpoint_v7"], "did you mean superpoint_v6?"),
        (["bench", "nowhere.yaml"], "cannot read nowhere.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str], found: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(words, capsys)
    assert line.startswith("slamfront: error: ")
    assert found in line


def test_options_override_the_file_which_overrides_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("sensor: stereo\ntracker: {min_inliers: 20, search_radius_px: 9}\n")
    assert main(["config", "--tracker.min-inliers", "30", f"--config={tmp_path / 'c.yaml'}"]) == 0
    printed = from_mapping(RunConfig, yaml.safe_load(capsys.readouterr().out))
    tracker = printed.tracker
    assert (printed.sensor, tracker.min_inliers, tracker.search_radius_px) == ("stereo", 30, 9.0)
    assert tracker.max_error_px == RunConfig().tracker.max_error_px


def test_config_prints_a_file_that_config_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert capsys.readouterr().out == dump(RunConfig(), expert=False)


def test_sections_for_experts_are_set_by_options_and_left_out_of_the_help(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("tracker: {pose: {correlation: 4}}\n", encoding="utf-8")
    words = ["--config", str(path), "--tracker.pose.fixed-keyframes=7", "--backend.bundle.offset-keyframes", "4", "9"]
    assert main(["config", *words, "--seed", "2"]) == 0
    config = from_mapping(RunConfig, yaml.safe_load(capsys.readouterr().out))
    assert (config.tracker.pose.correlation, config.tracker.pose.fixed_keyframes, config.seed) == (4.0, 7, 2)
    assert config.backend.bundle.offset_keyframes == (4, 9)
    assert main(["config", "--all"]) == 0
    assert "relinearize" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["config", "--help"])
    assert "relinearize" not in (help := capsys.readouterr().out) and "--tracker.min-inliers" in help


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--tracker.pose.correlaton=3", "unknown key 'tracker.pose.correlaton': did you mean 'correlation'?"),
        ("--tracker.pose.correlation=0", "tracker.pose.correlation must be 1 to 100, got 0.0"),
        ("--tracker.pose.correlation", "--tracker.pose.correlation needs a value"),
        ("--tracker.pose.correlation=[", "--tracker.pose.correlation is not valid YAML"),
    ],
)
def test_a_mistake_in_an_option_for_experts_is_one_line(
    option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", option]) == 2
    assert message in (line := capsys.readouterr().err) and line.count("\n") == 1


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].glob("configs/run/*.yaml")), ids=lambda p: p.stem)
def test_configurations_for_datasets_hold_only_what_differs(path: Path) -> None:
    def leaves(values: dict[str, object], where: str = "") -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in values.items():
            found |= leaves(value, f"{where}{key}.") if isinstance(value, dict) else {where + key: value}
        return found

    load(path)
    given = leaves(yaml.safe_load(path.read_text()))
    defaults = leaves(yaml.safe_load(dump(RunConfig())))
    assert given
    assert not [key for key, value in given.items() if defaults[key] == value]


def test_run_writes_its_folder_and_says_how_it_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, folder = copy_sample(tmp_path / "sequence"), tmp_path / "out"
    assert main(["run", str(source), "--output", str(folder), *FAST]) == 0
    printed = capsys.readouterr().out
    assert "tracked    12 of 12 frames" in printed
    assert "ATE se3" in printed
    config = load(folder / "config.yaml")
    assert (config.sensor, config.extractor.kind, config.matcher.kind) == ("rgbd", "orb", "nearest")
    assert "python" in json.loads((folder / "environment.json").read_text())
    assert read_result(folder).frames == 12

    assert main(["eval", str(source), str(folder), "--plot", str(tmp_path / "plot.png")]) == 0
    assert "ATE se3" in capsys.readouterr().out
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_results_go_to_a_folder_of_their_own_when_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = copy_sample(tmp_path / "sequence", count=3)
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(source), *FAST]) == 0
    assert [path.name.startswith("sequence-") for path in (tmp_path / "runs").iterdir()] == [True]


def test_eval_pairs_kitti_poses_with_the_times_beside_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = circle()
    for folder in ("poses", "sequences/00"):
        (tmp_path / folder).mkdir(parents=True)
    write_kitti(tmp_path / "poses" / "00.txt", [truth.pose(row) for row in range(len(truth))])
    (tmp_path / "sequences" / "00" / "times.txt").write_text("".join(f"{t / 1e9}\n" for t in truth.times_ns))
    write_tum(tmp_path / "estimate.tum", truth)
    assert main(["eval", str(tmp_path / "poses" / "00.txt"), str(tmp_path / "estimate.tum"), "--align", "sim3"]) == 0
    printed = capsys.readouterr().out
    assert "compared   40 of 40 poses" in printed
    assert "ATE sim3, m *                   0.0000" in printed


def test_eval_scores_the_frames_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tum(tmp_path / "a.tum", circle())
    assert main(["eval", str(tmp_path / "a.tum"), str(tmp_path / "a.tum"), "--frames", "10", "30"]) == 0
    assert "compared   20 of 20 poses" in capsys.readouterr().out


def test_bench_reports_what_ran_and_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCES", str(copy_sample(tmp_path / "sequence", count=6).parent))
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        yaml.safe_dump(
            {
                "title": "two of a kind",
                "sequences": [
                    {"source": "$SEQUENCES/sequence", "label": "small", "options": FAST},
                    {"source": "$SEQUENCES/nowhere"},
                ],
            }
        )
    )
    assert main(["bench", str(suite), "--runs", "1", "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [(group["label"], group["failed"]) for group in report["sequences"]] == [("small", 0), ("", 1)]
    assert "nowhere does not exist" in report["sequences"][1]["results"][0]["error"]
    assert "two of a kind" in (tmp_path / "out" / "report.html").read_text()


def test_weights_are_listed_with_their_licences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLAMFRONT_CACHE", str(tmp_path))
    assert main(["weights", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed and entry.licence in printed for name, entry in REGISTRY.items())
    assert main(["weights", "info", "superpoint_v1"]) == 0
    assert "non-profit" in capsys.readouterr().out
    assert main(["weights", "check"]) == 0


def test_weights_are_fetched_only_with_consent_and_only_the_true_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLAMFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (tmp_path / "file.pth").write_bytes(b"another file")
    words = ["weights", "fetch", "superpoint_v1", "--from", str(tmp_path / "file.pth")]
    assert "needs your consent" in refused(words, capsys)
    assert "not the official superpoint_v1.pth" in refused([*words, "--yes"], capsys)
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_doctor_tells_versions_devices_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0] for line in lines if line}
    assert {"python", "gtsam", "torch", "packages", "networks", "weights", "viewer", "camera"} <= told


# Two processes start, and a map is adjusted: seconds, but a minute where a dozen other programs want the processor
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "told to end"), (signal.SIGHUP, "the terminal was closed")],
)
def test_a_signal_ends_a_run_with_all_its_results(number: signal.Signals, told: str, tmp_path: Path) -> None:
    output, kept = tmp_path / "run", tmp_path / "room.map"
    words = ["run", "synthetic:room?frames=3000&width=160&grey=1&draft=1", "--output", str(output), "--no-plots"]
    words += ["--extractor.kind", "orb"]  # no network has to be loaded
    process = subprocess.Popen(
        [sys.executable, "-m", "slamfront", *words, "--save-map", str(kept)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background lets its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("frame "):
                break
        process.send_signal(number)
        if number != signal.SIGINT:  # a service manager and a shell may both send it
            process.send_signal(signal.SIGHUP)
        printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert re.search(f"ended early: ({told}|the terminal was closed)", printed)
    online, final = (read_tum(output / name) for name in ("online.tum", "final.tum"))
    assert 0 < len(final) == len(online) < 3000
    assert read_result(output).ate_se3_m is not None
    assert kept.stat().st_size > 1000


SIX = ["--source.end", "6", "--extractor.kind", "orb", "--extractor.max-keypoints", "300", "--no-plots"]


def test_a_reader_who_leaves_costs_no_results(tmp_path: Path) -> None:
    words = ["run", str(SAMPLE), "--output", str(tmp_path / "run"), *SIX]
    process = subprocess.Popen(
        [sys.executable, "-m", "slamfront", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    process.stdout.close()  # as `| head` does when it has seen enough
    assert process.wait(60) == 0
    assert len(read_tum(tmp_path / "run" / "final.tum")) == 6
    assert (tmp_path / "run" / "metrics.json").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_the_output_costs_no_results_and_is_told_where_the_output_is_the_result(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "slamfront"]
    with open("/dev/full", "w") as full:
        words = ["run", str(SAMPLE), "--output", str(tmp_path / "run"), "--save-map", str(tmp_path / "a.map"), *SIX]
        run = subprocess.run([*command, *words], stdout=full, stderr=subprocess.PIPE, text=True)
        config = subprocess.run([*command, "config"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, config.returncode) == (0, 2)
    assert "cannot write to standard output: No space left" in config.stderr
    assert "Traceback" not in run.stderr + config.stderr
    assert (tmp_path / "a.map").is_file() and (tmp_path / "run" / "final.tum").is_file()


def test_a_run_that_tracked_nothing_says_why_and_ends_with_three(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = copy_sample(tmp_path / "sequence", count=4)
    for path in (frames / "rgb").iterdir():
        assert cv2.imwrite(str(path), np.zeros((240, 320, 3), np.uint8))
    assert main(["run", str(frames), "--output", str(tmp_path / "run"), *SIX, "--no-threads"]) == 3
    printed = capsys.readouterr()
    assert "untracked  4 frames, most of them since" in printed.out
    assert "nothing was tracked: " in printed.err and "keypoints" in printed.err


def test_the_map_is_kept_where_the_folder_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slamfront.errors import OutputError
    from slamfront.pipeline import results

    def full(*_: object) -> None:
        raise OutputError("cannot write: No space left on device")

    for name in ("write_final", "write_model"):
        monkeypatch.setattr(results, name, full)
    words = ["run", str(SAMPLE), "--output", str(tmp_path / "run"), "--save-map", str(tmp_path / "a.map"), *SIX]
    assert main([*words, "--no-threads"]) == 2
    told = capsys.readouterr().err
    assert "No space left" in told and "Traceback" not in told
    assert (tmp_path / "a.map").is_file()
    assert (tmp_path / "run" / "metrics.json").is_file(), "what can be written is"


def test_a_mistyped_source_leaves_the_last_results(tmp_path: Path) -> None:
    output = tmp_path / "run"
    assert main(["run", str(SAMPLE), "--output", str(output), *SIX, "--no-threads"]) == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert main(["run", str(tmp_path / "none"), "--output", str(output), *SIX]) == 2
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert main(["run", str(SAMPLE), "--output", str(output), *SIX, "--no-threads"]) == 0


@pytest.mark.slow
def test_demo_needs_nothing_but_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--output", str(tmp_path)]) == 0
    assert "tracked    120 of 120 frames" in capsys.readouterr().out
    assert (tmp_path / "map.png").exists() and (tmp_path / "trajectory.png").exists()
