"""One self-contained HTML page that compares features and matchers, and the same figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slamfront.evaluation.comparison import (
    Cells,
    Compared,
    Picture,
    Section,
    sections_text,
    told,
    write_comparison,
)
from slamfront.evaluation.contestants import grouped
from slamfront.evaluation.features import AUC_THRESHOLDS_PX, FeatureFigures, PairResult, figures


def write_feature_report(
    compared: Sequence[Compared[PairResult]],
    path: Path,
    *,
    protocol: Sequence[str],
    pictures: Sequence[Picture] = (),
    title: str = "features",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Write the report to `path` (HTML), and its figures beside it with the ending .json.

    protocol    sentences that tell how it was measured
    pictures    those of one pair follow each other

    Raises EvaluationError without results, OutputError when the files cannot be written.
    """
    documents = [_document(one) for one in compared]
    sections = _sections(compared, pictures)
    write_comparison(path, sections, documents, title=title, protocol=protocol, environment=environment)


def figures_text(compared: Sequence[Compared[PairResult]]) -> str:
    """Return the figures of all groups as lines of text, one for each of those compared."""
    return sections_text(_sections(compared))


def _sections(compared: Sequence[Compared[PairResult]], pictures: Sequence[Picture] = ()) -> list[Section]:
    return [
        Section(
            group,
            [(one.name, _cells(figures(grouped(one.results)[group]))) for one in compared],
            [picture for picture in pictures if picture.group == group],
            [
                (result.name, one.name, _pair_cells(result))
                for same_pair in zip(*(grouped(one.results)[group] for one in compared), strict=True)
                for one, result in zip(compared, same_pair, strict=True)
            ],
        )
        for group in (grouped(compared[0].results) if compared else ())
    ]


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
