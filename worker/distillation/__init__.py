"""What a student learns, and what of it from a teacher."""
