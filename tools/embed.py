"""slamfront inside a program of your own, in ten lines: `python tools/embed.py [SOURCE]`."""

import sys

import slamfront

camera = slamfront.open_source(
    sys.argv[1] if len(sys.argv) > 1 else "synthetic:room?frames=60&width=320", sensor="rgbd"
)
with slamfront.Slam(camera=camera.camera, sensor="rgbd") as slam:
    slam.on_keyframe(lambda keyframe: print(f"keyframe {keyframe.id} at {keyframe.world_from_camera.translation_m}"))
    slam.on_factors(lambda graph, values: print(f"{graph.size()} new factors, {values.size()} new values"))
    for frame in camera:
        tracked = slam.push(frame.image, frame.time_ns, depth_m=frame.depth_m)
        print(tracked.state.value, tracked.inliers, slam.pose.translation_m if slam.pose else tracked.reason)
print(f"{len(slam.trajectory())} poses")
