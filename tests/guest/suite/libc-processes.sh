exec libc-tests libc-processes
