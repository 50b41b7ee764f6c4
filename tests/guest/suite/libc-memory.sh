exec libc-tests libc-memory
