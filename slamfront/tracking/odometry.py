"""The frame in which odometry goes on evenly, whatever becomes of the map: `odom` of ROS REP-105."""

from __future__ import annotations

from slamfront.geometry.pose import Pose, Sim3


class Odometry:
    """Where the odometry frame lies in the map, and where the camera was last in it."""

    def __init__(self) -> None:
        self._map_from_odom = Pose.identity()
        self._odom_from_camera = Pose.identity()

    def place(self, world_from_camera: Pose) -> Pose:
        """Return odom_from_camera of a camera that the map places."""
        return self._map_from_odom.inverse() @ world_from_camera

    def observe(self, odom_from_camera: Pose | None) -> None:
        """Remember where the camera is; None, where that is not known, changes nothing."""
        self._odom_from_camera = odom_from_camera or self._odom_from_camera

    def moved(self, new_from_old: Sim3, world_from_camera: Pose) -> Pose:
        """Follow a correction of the map about a camera, which odometry does not notice; return the camera's new place
        in the map.
        """
        new = new_from_old.apply_to_pose(world_from_camera)
        self._map_from_odom = new @ world_from_camera.inverse() @ self._map_from_odom
        return new

    def stand_still(self, world_from_camera: Pose) -> None:
        """Go on in another map, of whose world nothing is known, as if the camera had not moved while it was lost."""
        self._map_from_odom = world_from_camera @ self._odom_from_camera.inverse()
