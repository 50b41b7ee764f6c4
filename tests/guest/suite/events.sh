exec guest-tests events
