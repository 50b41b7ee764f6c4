exec guest-tests basics
