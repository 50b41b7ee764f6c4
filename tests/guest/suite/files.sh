exec guest-tests files
