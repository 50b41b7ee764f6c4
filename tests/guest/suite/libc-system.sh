exec libc-tests libc-system
