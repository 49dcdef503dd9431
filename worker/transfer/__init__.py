"""From a teacher's weights to a student's."""
