"""What a snapshot costs besides its thaws: checks, starts that are declined, the way from a bucket."""
