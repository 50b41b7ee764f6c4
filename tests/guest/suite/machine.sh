exec machine-tests
