exec libc-tests libc-threads
