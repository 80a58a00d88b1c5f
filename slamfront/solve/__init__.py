"""Robust estimation as functions: arrays in, a pose and its inliers out."""
