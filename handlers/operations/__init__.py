"""ROOM: what runs on schedules and events: purge, reap, checkpoint, alarms, watchdog, incidents, rotation."""
