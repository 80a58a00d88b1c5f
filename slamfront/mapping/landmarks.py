"""What happens to the map when a view becomes a keyframe: new landmarks, and old ones seen again."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from slamfront.config import AlignmentConfig, RunConfig, TriangulationConfig
from slamfront.descriptors import distance_table, same_landmark_distance
from slamfront.geometry.epipolar import epipolar_lines, fundamental_matrix
from slamfront.geometry.pose import Pose
from slamfront.geometry.shutter import Shutter
from slamfront.map import KeyframeMap, KeyframeRecord
from slamfront.map.depths import measure_depths
from slamfront.mapping.initializer import FirstPair
from slamfront.patches import cut_patches
from slamfront.solve.triangulate import parallax_rad, reprojection_error_px, triangulate
from slamfront.tracking.local_map import align_landmarks, align_view
from slamfront.tracking.projection import match_projection, project
from slamfront.tracking.view import View
from slamfront.types import BoolArray, Features, Float32Array, FloatArray, IntArray

# A single camera measures no disparities: any number will do
_NO_DISPARITY_SIGMA_PX = 1.0


def insert_keyframe(world: KeyframeMap, view: View, *, config: RunConfig) -> KeyframeRecord:
    """Make the tracked view a keyframe: what it shows, and its other features, with landmarks of their own where the
    sensor tells distances."""
    triangulation = config.keyframes.triangulation
    shown, free = len(view.xy), _features_apart(view, triangulation.apart_px)
    features = _joined(world, view, free, triangulation.same_px)
    right_x = np.concatenate([view.right_x, np.full(len(free), np.nan)])
    missing = np.flatnonzero(~np.isfinite(right_x))
    right_x[missing] = view.find_right_x(features.keypoints_xy[missing].astype(np.float64), None)
    sigmas_px = np.concatenate([view.sigmas_px, features.scales[shown:]])
    rows = np.concatenate([view.landmark_rows, np.full(len(free), -1, np.int64)])
    keyframe = _add_keyframe(world, view, features, right_x, sigmas_px, rows, triangulation)
    _anchor_nearer(world, keyframe, view, shown, config)
    if world.camera.baseline_m is None:
        _add_directions(world, keyframe, view, triangulation)
        view.adopt(keyframe)
    return keyframe


def first_map(world: KeyframeMap, pair: FirstPair, *, config: RunConfig) -> KeyframeRecord:
    """Make the map of a single camera's first two views, scaled to a median depth of 1; return the second keyframe.

    Every feature of the first is a landmark, those that match at their depths and the others at a typical one, and at
    most `max_landmarks` of them are looked for in the second by their patches: matches alone would tie two views
    loosely.
    """
    geometry, chosen = pair.geometry, pair.geometry.inliers
    scale = 1.0 / float(np.median(geometry.points[chosen, 2]))
    motion = geometry.second_from_first
    pair.first.camera_from_world = Pose.identity()
    pair.second.camera_from_world = Pose(motion.rotation, motion.translation_m * scale)
    features, unknown = pair.first.features, np.full(len(pair.first.features), np.nan)
    triangulation, none = config.keyframes.triangulation, np.full(len(features), -1, np.int64)
    first = _add_keyframe(world, pair.first, features, unknown, features.scales, none, triangulation)
    matched = pair.first_rows[chosen]
    patches = cut_patches(pair.first.grey, pair.first.shutter.to_image(features.keypoints_xy[matched]))
    rows = world.add_landmarks(first, matched, geometry.points[chosen] * scale, patches)
    _add_directions(world, first, pair.first, triangulation)
    measure_depths(world, _NO_DISPARITY_SIGMA_PX, config=triangulation)
    pair.first.adopt(first)
    pair.second.observe(rows, pair.second_xy[chosen], pair.second_sigmas_px[chosen])
    align_view(pair.second, world, world.observed_by(np.array([first.id])), config.tracker)
    second = insert_keyframe(world, pair.second, config=config)
    place_by_parallax(world, second, config=config)
    return second


def straighten(world: KeyframeMap, keyframe: KeyframeRecord, view: View, shutter: Shutter) -> None:
    """Move the keypoints of a keyframe and its view to where a better known shutter puts them, and along with them the
    landmarks that it alone has measured.
    """
    marks, rows = world.landmarks, keyframe.landmark_rows
    own = np.flatnonzero((rows >= 0) & (marks.anchor_ids[rows] == keyframe.id) & (marks.observations[rows] == 1))
    depths = keyframe.world_from_camera.inverse().apply(marks.positions_m[rows[own]])[:, 2]
    world.turn_keyframe(keyframe, shutter)
    view.turn(shutter)
    if view.frame.depth_delay_s:
        xy = keyframe.features.keypoints_xy.astype(np.float64)
        keyframe.right_x = view.find_right_x(xy, None).astype(np.float32)
        measured = world.camera.disparity_times_depth / (xy[own, 0] - keyframe.right_x[own])
        depths = np.where(np.isfinite(measured), measured, depths)
    rays = world.camera.unproject(keyframe.features.keypoints_xy[own])
    marks.positions_m[rows[own]] = keyframe.world_from_camera.apply(rays * depths[:, None])


def triangulate_with_neighbours(world: KeyframeMap, keyframe: KeyframeRecord, view: View, *, config: RunConfig) -> int:
    """Add landmarks for features that observe nothing, from pairs with the keyframes that see most alike; return how
    many.
    """
    triangulation = config.keyframes.triangulation
    neighbour_ids = world.covisible(keyframe)[: triangulation.keyframes].tolist()
    typical_m = _median_depth(world, keyframe, triangulation) if neighbour_ids else 0.0
    neighbours = (world.keyframes[i] for i in neighbour_ids)
    return sum(_triangulate_pair(world, keyframe, one, view, typical_m, config) for one in neighbours)


def place_by_parallax(world: KeyframeMap, keyframe: KeyframeRecord, *, config: RunConfig) -> None:
    """Place landmarks of a single camera whose depth was unknown where a new keyframe tells it better, together with
    those in which they are anchored.

    Adjustment would do so too, but may come late, and a camera is not to be placed by guessed depths meanwhile.
    """
    marks, rows = world.landmarks, keyframe.landmark_rows
    if world.camera.baseline_m is not None:
        return
    anchors = marks.anchor_ids[rows]
    changed = [rows[(rows >= 0) & (marks.created_by[rows] == keyframe.id)]]
    for anchor_id in np.setdiff1d(anchors[rows >= 0], keyframe.id).tolist():
        if anchor_id in world.keyframes:
            mine = np.flatnonzero((rows >= 0) & (anchors == anchor_id))
            changed.append(_place_between(world, world.keyframes[anchor_id], keyframe, mine, config))
    measure_depths(world, _NO_DISPARITY_SIGMA_PX, np.concatenate(changed), config=config.keyframes.triangulation)


def _place_between(
    world: KeyframeMap, anchor: KeyframeRecord, keyframe: KeyframeRecord, mine: IntArray, config: RunConfig
) -> IntArray:
    """Place landmarks, those of a keyframe's features `mine`, which are anchored in another; return rows of those that
    were placed.
    """
    marks = world.landmarks
    shown = np.full(marks.capacity, -1, np.int64)
    theirs = np.flatnonzero(anchor.landmark_rows >= 0)
    shown[anchor.landmark_rows[theirs]] = theirs
    mine = mine[shown[keyframe.landmark_rows[mine]] >= 0]
    rows = keyframe.landmark_rows[mine]
    views = (anchor, shown[rows]), (keyframe, mine)
    points = _intersections(world, *views)
    origin = anchor.world_from_camera.translation_m
    parallax = parallax_rad(points, origin, keyframe.world_from_camera.translation_m)
    known = np.linalg.norm(marks.spreads_m[rows], axis=1) / np.linalg.norm(marks.positions_m[rows] - origin, axis=1)
    triangulation = config.keyframes.triangulation
    told = config.tracker.alignment.sigma_px / world.camera.fx / np.maximum(parallax, 1e-9)
    uncertain = (known > triangulation.max_depth_sigma) & (told < known)
    better = _agree(world, points, triangulation, *views) & uncertain
    marks.positions_m[rows[better]] = points[better]
    return rows[better]


def fuse_with_neighbours(world: KeyframeMap, keyframe: KeyframeRecord, *, config: RunConfig) -> None:
    """Let neighbours observe the keyframe's landmarks where they show them, and merge landmarks that are one."""
    for neighbour_id in world.covisible(keyframe)[: config.keyframes.triangulation.fused_keyframes].tolist():
        neighbour = world.keyframes[neighbour_id]
        rows = world.observed_by(np.array([keyframe.id]))
        seen = np.zeros(world.landmarks.capacity + 1, bool)
        seen[neighbour.landmark_rows] = True
        observe_again(world, neighbour, rows[~seen[rows]], config=config)


def _add_keyframe(
    world: KeyframeMap,
    view: View,
    features: Features,
    right_x: FloatArray,
    sigmas_px: FloatArray | Float32Array,
    landmark_rows: IntArray,
    config: TriangulationConfig,
) -> KeyframeRecord:
    keyframe = world.add_keyframe(
        view.frame.time_ns,
        view.pose.inverse(),
        features,
        right_x.astype(np.float32),
        sigmas_px.astype(np.float32),
        landmark_rows,
        view.grey,
        view.shutter,
    )
    _add_ranged_landmarks(world, keyframe, view, config.max_depth_sigma)
    view.adopt(keyframe)
    return keyframe


def _features_apart(view: View, apart_px: float) -> IntArray:
    """Return rows of the view's features that do not lie beside a landmark it shows: others would make it again."""
    if len(view.xy) == 0:
        return np.arange(len(view.features))
    distance, _ = cKDTree(view.xy).query(view.features.keypoints_xy, distance_upper_bound=apart_px)
    return np.flatnonzero(~np.isfinite(distance))


def _joined(world: KeyframeMap, view: View, free: IntArray, same_px: float) -> Features:
    """Return the landmarks that the view shows, as features, and then its features `free`.

    A landmark is described as the feature beside it is, or else as it was when it was made.
    """
    f, rows = view.features, view.landmark_rows
    descriptors = world.landmarks.descriptors[rows]
    scales = world.landmarks.anchor_scales[rows]
    if len(f) and len(rows):
        distance, beside = view.tree.query(view.xy, distance_upper_bound=same_px)
        same = np.isfinite(distance)
        descriptors[same], scales[same] = f.descriptors[beside[same]], f.scales[beside[same]]
    return Features(
        np.concatenate([view.xy.astype(np.float32), f.keypoints_xy[free]]),
        np.concatenate([np.full(len(rows), f.scores.max(initial=0.0), np.float32), f.scores[free]]),
        np.concatenate([descriptors, f.descriptors[free]]),
        f.image_size,
        np.concatenate([scales, f.scales[free]]),
    )


def _anchor_nearer(world: KeyframeMap, keyframe: KeyframeRecord, view: View, shown: int, config: RunConfig) -> None:
    """Anchor landmarks anew, among the first `shown` features, that were anchored from much farther away: nearer
    patches are sharper.
    """
    marks, rows = world.landmarks, keyframe.landmark_rows[:shown]
    offset = marks.positions_m[rows] - keyframe.world_from_camera.translation_m
    ratio, sigma_px = config.keyframes.triangulation.anchor_ratio, config.tracker.alignment.sigma_px
    nearer = marks.anchor_distances_m[rows] > ratio * np.linalg.norm(offset, axis=1)
    keypoints = np.flatnonzero(nearer & (keyframe.sigmas_px[:shown] <= sigma_px))
    xy = view.shutter.to_image(keyframe.features.keypoints_xy[keypoints])
    world.anchor(keyframe, keypoints, cut_patches(view.grey, xy))


def _add_ranged_landmarks(world: KeyframeMap, keyframe: KeyframeRecord, view: View, max_depth_sigma: float) -> None:
    if world.camera.baseline_m is None:
        return
    disparity = keyframe.features.keypoints_xy[:, 0] - keyframe.right_x
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = world.camera.disparity_times_depth / disparity.astype(np.float64)
    usable = view.depth_source.near(depth)
    if len(world.keyframes) == 1:
        # Far landmarks hold how the camera turns: no other keyframe is there yet to triangulate them with
        usable |= disparity * max_depth_sigma > view.depth_source.disparity_sigma_px
    new = np.flatnonzero((keyframe.landmark_rows < 0) & (disparity > 0) & usable)
    if len(new) == 0:
        return
    xy = keyframe.features.keypoints_xy[new]
    points = world.camera.unproject(xy) * depth[new, None]
    patches = cut_patches(view.grey, view.shutter.to_image(xy))
    world.add_landmarks(keyframe, new, keyframe.world_from_camera.apply(points), patches)


def _add_directions(world: KeyframeMap, keyframe: KeyframeRecord, view: View, config: TriangulationConfig) -> None:
    """Make landmarks of the other features of a single camera's keyframe, at the depth of those it knows.

    Until parallax tells their depths they hold how the camera turns, which would otherwise be taken for its motion.
    """
    new = np.flatnonzero(keyframe.landmark_rows < 0)
    xy = keyframe.features.keypoints_xy[new]
    points = world.camera.unproject(xy) * _median_depth(world, keyframe, config)
    patches = cut_patches(view.grey, view.shutter.to_image(xy))
    world.add_landmarks(keyframe, new, keyframe.world_from_camera.apply(points), patches)


def _triangulate_pair(
    world: KeyframeMap,
    keyframe: KeyframeRecord,
    neighbour: KeyframeRecord,
    view: View,
    typical_m: float,
    config: RunConfig,
) -> int:
    mine, theirs = _epipolar_matches(world, keyframe, neighbour, config.keyframes.triangulation)
    points, good = _triangulated(world, keyframe, neighbour, mine, theirs, typical_m, config)
    mine, theirs, points = mine[good], theirs[good], points[good]
    if len(mine) == 0:
        return 0
    patches = cut_patches(view.grey, view.shutter.to_image(keyframe.features.keypoints_xy[mine]))
    landmarks = world.add_landmarks(keyframe, mine, points, patches)
    world.add_observations(neighbour, theirs, landmarks)
    align_observations(world, neighbour, theirs, config=config.tracker.alignment)
    points, good = _triangulated(world, keyframe, neighbour, mine, theirs, typical_m, config)
    world.landmarks.positions_m[landmarks[good]] = points[good]
    world.remove_landmarks(landmarks[~good])
    return int(good.sum())


def align_observations(
    world: KeyframeMap, keyframe: KeyframeRecord, keypoint_rows: IntArray, *, config: AlignmentConfig
) -> None:
    """Move observations of a keyframe that still has its image to where their landmarks' patches fit."""
    if keyframe.image is None or len(keypoint_rows) == 0:
        return
    rows = keyframe.landmark_rows[keypoint_rows]
    start = keyframe.features.keypoints_xy[keypoint_rows].astype(np.float64)
    image = keyframe.image.astype(np.float32)
    xy, aligned_px, trusted = align_landmarks(
        world, rows, keyframe.world_from_camera.inverse(), start, image, keyframe.shutter, config
    )
    shift = xy[trusted] - start[trusted]
    world.move_keypoints(keyframe, keypoint_rows[trusted], shift, aligned_px[trusted])


def _epipolar_matches(
    world: KeyframeMap, keyframe: KeyframeRecord, neighbour: KeyframeRecord, config: TriangulationConfig
) -> tuple[IntArray, IntArray]:
    """Return rows of features that observe nothing in both keyframes, look alike and lie on each other's epipolar
    lines.
    """
    mine, theirs = np.flatnonzero(keyframe.landmark_rows < 0), np.flatnonzero(neighbour.landmark_rows < 0)
    if len(mine) < 2 or len(theirs) < 2:
        return mine[:0], theirs[:0]
    a, b = keyframe.features, neighbour.features
    distances = distance_table(a.descriptors[mine], b.descriptors[theirs])
    off = _epipolar_distance(world, keyframe, neighbour, mine, theirs)
    distances[~(off <= config.max_epipolar_px * b.scales[theirs])] = np.inf
    lines = np.arange(len(mine))
    pick = distances.argmin(1)
    best = distances[lines, pick]
    mutual = distances.argmin(0)[pick] == lines
    runner_up = np.partition(distances, 1, axis=1)[:, 1]
    good = mutual & (best < same_landmark_distance(a.descriptors)) & (best < config.max_ratio * runner_up)
    return mine[good], theirs[pick[good]]


def _epipolar_distance(
    world: KeyframeMap, keyframe: KeyframeRecord, neighbour: KeyframeRecord, mine: IntArray, theirs: IntArray
) -> Float32Array:
    """Return the distances (M,N), px, of the neighbour's keypoints to the epipolar lines of mine, NaN for no line."""
    neighbour_from_mine = neighbour.world_from_camera.inverse() @ keyframe.world_from_camera
    fundamental = fundamental_matrix(neighbour_from_mine, world.camera, world.camera)
    lines = epipolar_lines(fundamental, keyframe.features.keypoints_xy[mine]).astype(np.float32)
    xy = neighbour.features.keypoints_xy[theirs]
    return np.abs(lines[:, :2] @ xy.T + lines[:, 2:])


def _triangulated(
    world: KeyframeMap,
    first: KeyframeRecord,
    second: KeyframeRecord,
    rows: IntArray,
    others: IntArray,
    typical_m: float,
    config: RunConfig,
) -> tuple[FloatArray, BoolArray]:
    """Return points (K,3) of matched features, and which of them agree with both views.

    Parallax too small to tell a depth leaves the direction, which is all that turning needs: such a point is put
    where its parallax would just be noticed, or at the typical depth if that is farther. Adjustment finds its depth
    when parallax grows.
    """
    views = (first, rows), (second, others)
    points = _intersections(world, *views)
    centre, other = first.world_from_camera.translation_m, second.world_from_camera.translation_m
    least = _least_parallax_rad(world, config)
    far = ~(parallax_rad(points, centre, other) > least)
    depth = max(typical_m, float(np.linalg.norm(centre - other)) / least)
    rays = world.camera.unproject(first.features.keypoints_xy[rows[far]])
    points[far] = first.world_from_camera.apply(rays * depth)
    return points, _agree(world, points, config.keyframes.triangulation, *views)


def _intersections(
    world: KeyframeMap, first: tuple[KeyframeRecord, IntArray], second: tuple[KeyframeRecord, IntArray]
) -> FloatArray:
    """Return the points (K,3) that features, rows (K,) of two keyframes, show."""
    rays = [world.camera.unproject(keyframe.features.keypoints_xy[rows]) for keyframe, rows in (first, second)]
    return triangulate(first[0].world_from_camera.inverse(), second[0].world_from_camera.inverse(), *rays)


def _agree(
    world: KeyframeMap, points: FloatArray, config: TriangulationConfig, *views: tuple[KeyframeRecord, IntArray]
) -> BoolArray:
    """Return which points (K,3) lie where the features of keyframes, rows (K,), show them."""
    good = np.ones(len(points), bool)
    for keyframe, rows in views:
        from_world, xy = keyframe.world_from_camera.inverse(), keyframe.features.keypoints_xy[rows]
        error_px = reprojection_error_px(from_world, points, xy, world.camera)
        good &= error_px < config.max_reprojection_sigmas * keyframe.sigmas_px[rows]
    return good


def _median_depth(world: KeyframeMap, keyframe: KeyframeRecord, config: TriangulationConfig) -> float:
    rows = keyframe.landmark_rows[keyframe.landmark_rows >= 0]
    depths = keyframe.world_from_camera.inverse().apply(world.landmarks.positions_m[rows])[:, 2]
    known = np.linalg.norm(world.landmarks.spreads_m[rows], axis=1) < config.known_depth_sigma * np.abs(depths)
    return float(np.median(depths[known] if known.sum() >= config.min_known else depths))


def _least_parallax_rad(world: KeyframeMap, config: RunConfig) -> float:
    """Return the parallax at which an aligned pair of keypoints determines a depth well enough."""
    sigma_px, max_depth_sigma = config.tracker.alignment.sigma_px, config.keyframes.triangulation.max_depth_sigma
    return sigma_px / world.camera.fx / max_depth_sigma


def observe_again(world: KeyframeMap, keyframe: KeyframeRecord, rows: IntArray, *, config: RunConfig) -> None:
    """Let a keyframe observe landmarks `rows` where it shows them; one shown where it observes another is merged into
    that.
    """
    from_world = keyframe.world_from_camera.inverse()
    tracker, radius_px = config.tracker, config.keyframes.triangulation.fuse_radius_px
    projection = project(world.landmarks, rows, from_world, world.camera, config=tracker.projection)
    keypoints, owners = match_projection(
        projection, world.landmarks, keyframe.features, keyframe.tree, radius_px, config=tracker.projection
    )
    landmarks = projection.rows[owners]
    held = keyframe.landmark_rows[keypoints]
    free = held < 0
    world.add_observations(keyframe, keypoints[free], landmarks[free])
    align_observations(world, keyframe, keypoints[free], config=tracker.alignment)
    kept, gone = held[~free], landmarks[~free]
    swap = world.landmarks.observations[gone] > world.landmarks.observations[kept]
    kept, gone = np.where(swap, gone, kept), np.where(swap, kept, gone)
    # Two landmarks may both want the same third: each landmark takes part in one merge
    _, first = np.unique(gone, return_index=True)
    kept, gone = kept[first], gone[first]
    apart = ~np.isin(kept, gone)
    world.merge_landmarks(kept[apart], gone[apart])
