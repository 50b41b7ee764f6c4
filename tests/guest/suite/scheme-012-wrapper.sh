exec guest-tests scheme-012-wrapper
