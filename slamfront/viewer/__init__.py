"""What people see of a run: live windows, recordings and stills."""
