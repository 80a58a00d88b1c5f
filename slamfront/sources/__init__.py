"""Where frames come from: datasets, images, videos, cameras, bags, and worlds that are rendered."""
