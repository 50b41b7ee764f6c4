exec guest-tests threads
