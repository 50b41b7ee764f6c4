exec guest-tests process-stress
