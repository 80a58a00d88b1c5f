"""What is learned: one module for each network's task, their losses, and where networks begin."""
