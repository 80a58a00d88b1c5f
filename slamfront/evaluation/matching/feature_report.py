"""What is reported of features and matchers that were compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from slamfront.evaluation.matching.comparison import Cells, Compared, Comparison, Picture, group_section, told
from slamfront.evaluation.matching.features import AUC_THRESHOLDS_PX, FeatureFigures, PairResult, figures
from slamfront.evaluation.matching.methods import grouped


def feature_comparison(compared: Sequence[Compared[PairResult]], pictures: Sequence[Picture] = ()) -> Comparison:
    """Return the figures by group; pictures of one pair follow each other."""
    groups = {one.name: grouped(one.results) for one in compared}
    sections = [
        group_section(
            group,
            [(name, _cells(figures(found[group]))) for name, found in groups.items()],
            compared,
            _pair_cells,
            pictures,
        )
        for group in (grouped(compared[0].results) if compared else ())
    ]
    return Comparison(sections, [_document(one) for one in compared])


def _cells(found: FeatureFigures) -> Cells:
    """Return the figures as a report shows them."""
    cells = [
        ("pairs", told(found.pairs, "d")),
        ("keypoints", told(found.keypoints, ".0f")),
        ("repeatability", told(found.repeatability, ".3f")),
        ("loc. error px", told(found.localization_error_px, ".2f")),
        ("matches", told(found.matches, ".0f")),
        ("precision", told(found.precision, ".3f")),
        ("recall", told(found.recall, ".3f")),
    ]
    for what, values in (("AUC", found.homography_auc), ("solved", found.solved)):
        cells += [
            (f"{what}@{threshold:g}", told(value, ".3f"))
            for threshold, value in zip(AUC_THRESHOLDS_PX, values, strict=True)
        ]
    return cells


def _pair_cells(result: PairResult) -> Cells:
    return [
        ("repeatability", told(result.repeatability, ".3f")),
        ("matches", told(result.matches, "d")),
        ("precision", told(result.precision, ".3f")),
        ("recall", told(result.recall, ".3f")),
        ("corner error px", told(result.corner_error_px, ".2f")),
    ]


def _document(one: Compared[PairResult]) -> dict[str, Any]:
    return {
        "name": one.name,
        "config": dict(one.config),
        "thresholds_px": list(AUC_THRESHOLDS_PX),
        "groups": {group: asdict(figures(results)) for group, results in grouped(one.results).items()},
        "pairs": [asdict(result) for result in one.results],
    }
