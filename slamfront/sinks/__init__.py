"""What is kept of a run: trajectories, statistics, the map as a point cloud and as a COLMAP model."""
