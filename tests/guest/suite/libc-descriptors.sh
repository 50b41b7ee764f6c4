exec libc-tests libc-descriptors
