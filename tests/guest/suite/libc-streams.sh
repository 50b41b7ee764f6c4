exec libc-tests libc-streams
