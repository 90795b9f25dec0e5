"""Training: the loop, schedules, recovery, logs and initial weights."""
