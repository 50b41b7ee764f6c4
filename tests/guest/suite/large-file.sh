exec guest-tests large-file
