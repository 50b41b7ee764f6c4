exec libc-tests libc-signals
