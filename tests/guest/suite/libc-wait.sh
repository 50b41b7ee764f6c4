exec libc-tests libc-wait
