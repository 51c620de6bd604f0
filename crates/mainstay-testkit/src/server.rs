/// What all servers can do, each of which is a struct around a `daemon: Daemon` with a `fn url_at`.
macro_rules! server_methods {
    ($Server:ident) => {
        impl $Server {
            /// The port it listens on, on 127.0.0.1. It stays the same over restarts.
            pub fn port(&self) -> u16 {
                self.daemon.port()
            }

            /// The address it listens on.
            pub fn addr(&self) -> std::net::SocketAddr {
                self.daemon.addr()
            }

            /// The URL a client connects to.
            pub fn url(&self) -> String {
                self.url_at(self.addr())
            }

            /// The process id: of the process that runs, or of the last one that did.
            pub fn pid(&self) -> u32 {
                self.daemon.pid()
            }

            /// The last lines the server wrote since it was last started.
            pub fn log(&self) -> String {
                self.daemon.log()
            }

            /// Kills it with SIGKILL, with all its child processes, and returns when they are gone: connects are
            /// refused from then on. Also while it is stopped. Does nothing if it does not run.
            ///
            /// # Errors
            ///
            /// If the operating system refuses.
            pub fn kill(&mut self) -> Result<(), $crate::TestkitError> {
                self.daemon.kill()
            }

            /// Stops it with SIGSTOP, with all its child processes, and returns when they stand still. Connects are
            /// still accepted (by the kernel) and nothing answers.
            ///
            /// # Errors
            ///
            /// [`NotRunning`](crate::TestkitError::NotRunning) if it does not run, or if the operating system
            /// refuses.
            pub fn stop(&mut self) -> Result<(), $crate::TestkitError> {
                self.daemon.stop()
            }

            /// Lets it go on with SIGCONT after [`stop`](Self::stop).
            ///
            /// # Errors
            ///
            /// [`NotRunning`](crate::TestkitError::NotRunning) if it does not run, or if the operating system
            /// refuses.
            pub fn resume(&mut self) -> Result<(), $crate::TestkitError> {
                self.daemon.resume()
            }

            /// Starts it again on the same port, with the same data and the same settings, and returns when it is
            /// ready. If it runs it is killed first.
            ///
            /// # Errors
            ///
            /// As when it was first started.
            pub fn restart(&mut self) -> Result<(), $crate::TestkitError> {
                self.daemon.restart()
            }
        }
    };
}

pub(crate) use server_methods;
