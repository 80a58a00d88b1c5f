"""What is reported of matchers that were compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from slamfront.evaluation.matching.comparison import (
    Cells,
    Compared,
    Comparison,
    Picture,
    Section,
    group_section,
    told,
    with_known_columns,
)
from slamfront.evaluation.matching.features import AUC_THRESHOLDS_PX
from slamfront.evaluation.matching.methods import grouped
from slamfront.evaluation.matching.metrics import POSE_THRESHOLDS_DEG
from slamfront.evaluation.matching.quality import (
    DIFFICULTIES,
    NOTHING_IN_COMMON,
    MatchFigures,
    MatchingResult,
    matching_figures,
)
from slamfront.evaluation.matching.times import MatchTime

Times = Sequence[Sequence[MatchTime]]
"""For each of those compared, the times with each number of keypoints."""


def matching_comparison(
    compared: Sequence[Compared[MatchingResult]], times: Times, pictures: Sequence[Picture] = ()
) -> Comparison:
    """Return the figures by group, by difficulty and by number of keypoints; pictures of one pair follow each other."""
    documents = [_document(one, of_one) for one, of_one in zip(compared, times, strict=True)]
    return Comparison(_sections(compared, times, pictures), documents)


def _sections(compared: Sequence[Compared[MatchingResult]], times: Times, pictures: Sequence[Picture]) -> list[Section]:
    sections = []
    for group in _groups(compared):
        rows = _rows(compared, [grouped(one.results)[group] for one in compared])
        sections.append(group_section(group, rows, compared, _pair_cells, pictures))
    for name in DIFFICULTIES:
        chosen = [_of_difficulty(one.results, name) for one in compared]
        if chosen and chosen[0]:
            sections.append(Section(f"{name} pairs", _rows(compared, chosen)))
    asked = [time.asked for time in times[0]] if times else []
    for column, count in enumerate(asked):
        timed = [(one, of_one[column]) for one, of_one in zip(compared, times, strict=True) if of_one]
        rows = [(one.name, _time_cells(time)) for one, time in timed]
        sections.append(Section(f"{count} keypoints", with_known_columns(rows)))
    return sections


def _groups(compared: Sequence[Compared[MatchingResult]]) -> list[str]:
    """Return the groups in their order, that of the pairs that have nothing in common last."""
    groups = grouped(compared[0].results) if compared else {}
    return sorted(groups, key=lambda group: group == NOTHING_IN_COMMON)


def _of_difficulty(results: Sequence[MatchingResult], name: str) -> list[MatchingResult]:
    return [result for result in results if result.difficulty == name]


def _rows(
    compared: Sequence[Compared[MatchingResult]], results: Sequence[Sequence[MatchingResult]]
) -> list[tuple[str, Cells]]:
    return with_known_columns(
        [(one.name, _cells(matching_figures(chosen))) for one, chosen in zip(compared, results, strict=True)]
    )


def _cells(found: MatchFigures) -> Cells:
    """Return the figures as a report shows them."""
    cells = [
        ("pairs", told(found.pairs, "d")),
        ("keypoints", told(found.keypoints, ".0f")),
        ("matches", told(found.matches, ".0f")),
        ("precision", told(found.precision, ".3f")),
        ("recall", told(found.recall, ".3f")),
        ("epipolar", told(found.epipolar_precision, ".3f")),
        (f"AUC@{_listed(AUC_THRESHOLDS_PX)} px", _areas(found.homography_auc)),
    ]
    for name, areas in found.pose_auc.items():
        cells.append((f"{name} AUC@{_listed(POSE_THRESHOLDS_DEG)}°", _areas(areas)))
        cells.append((f"{name} rotation", _areas(found.rotation_auc[name])))
    return [
        *cells,
        ("directions", told(found.directions, ".2f")),
        ("CPU ms", told(found.processor_ms, ".1f")),
        ("ms", told(found.wall_ms, ".1f")),
        ("layers", told(found.layers, ".1f")),
    ]


def _time_cells(time: MatchTime) -> Cells:
    return [
        ("found", told(time.keypoints, ".0f")),
        ("CPU ms", told(time.processor_ms, ".1f")),
        ("ms", told(time.wall_ms, ".1f")),
        ("layers", told(time.layers, ".1f")),
    ]


def _pair_cells(result: MatchingResult) -> Cells:
    cells = [
        ("overlap", told(result.overlap, ".2f")),
        ("matches", told(result.matches, "d")),
        ("precision", told(result.precision, ".3f")),
        ("recall", told(result.recall, ".3f")),
        ("epipolar precision", told(result.epipolar_precision, ".3f")),
        ("corner error px", told(result.corner_error_px, ".2f")),
    ]
    for name, error in result.poses.items():
        cells.append((f"{name} rotation °", told(error.rotation_deg, ".2f")))
        cells.append((f"{name} direction °", told(error.direction_deg, ".2f")))
    return [*cells, ("ms", told(result.wall_ms, ".1f")), ("layers", told(result.layers, ".0f"))]


def _listed(thresholds: Sequence[float]) -> str:
    return "/".join(f"{threshold:g}" for threshold in thresholds)


def _areas(areas: Sequence[float]) -> str:
    return " ".join(told(area, ".3f") for area in areas) or told(None, "")


def _document(one: Compared[MatchingResult], times: Sequence[MatchTime]) -> dict[str, Any]:
    found = {name: _of_difficulty(one.results, name) for name in DIFFICULTIES}
    return {
        "name": one.name,
        "config": dict(one.config),
        "thresholds_px": list(AUC_THRESHOLDS_PX),
        "thresholds_deg": list(POSE_THRESHOLDS_DEG),
        "groups": {group: asdict(matching_figures(results)) for group, results in grouped(one.results).items()},
        "difficulties": {name: asdict(matching_figures(results)) for name, results in found.items() if results},
        "times": [asdict(time) for time in times],
        "pairs": [asdict(result) for result in one.results],
    }
