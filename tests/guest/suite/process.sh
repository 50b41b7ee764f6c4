exec guest-tests process
