// Where the time goes.
