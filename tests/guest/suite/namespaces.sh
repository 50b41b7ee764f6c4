exec guest-tests namespaces
