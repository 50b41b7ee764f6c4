exec guest-tests scheme-011-loop
