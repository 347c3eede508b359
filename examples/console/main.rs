//! The console: the real router on a simulated AWS, in the browser.
//!
//! `cargo run --example console` serves <http://127.0.0.1:8080>; `cargo run --example console -- 8081` another port. It shows the
//! router's own page, the same HTML as in a CloudWatch dashboard, with controls beside it. Each control does what AWS or a person
//! does. Below is every invocation of the router, with its event, answer and calls.
//!
//! The files, from the lowest to the highest:
//!
//! - `control`: the controls and their names.
//! - `journal`: the newest invocations.
//! - `world`: the router on the simulated AWS, and what each control does there.
//! - `clock`: the thread of the world, with its simulated clock.
//! - `request`: what an HTTP request asks for, and which requests are refused.
//! - `server`: the requests on the socket.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its user")]

mod clock;
mod control;
mod journal;
mod request;
mod server;
mod world;

use std::error::Error;
use std::process::ExitCode;

use tokio::net::TcpListener;

const USAGE: &str = "\
The real router on a simulated AWS, in the browser.

Usage: cargo run --example console [-- PORT]

  PORT     listen on 127.0.0.1:PORT (default 8080; 0 takes any free port)
  --help   show this";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned()).collect();
    if arguments.iter().any(|argument| ["--help", "-h"].contains(&argument.as_str())) {
        println!("{USAGE}");
        return Ok(());
    }
    let port = port(&arguments)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        format!(
            "cannot listen on 127.0.0.1:{port}: {error}. \
             Choose another port, for example: cargo run --example console -- {}",
            port.checked_add(1).unwrap_or(8080)
        )
    })?;
    let world = clock::start()?;
    println!("The console of drift-router: http://{} (Ctrl+C ends it)", listener.local_addr()?);
    Ok(server::serve(listener, world).await?)
}

/// The port of the arguments, or the default.
fn port(arguments: &[String]) -> Result<u16, String> {
    match arguments {
        [] => Ok(8080),
        [port] => port.parse().map_err(|_| format!("{port:?} is not a port: give a number up to 65535")),
        _ => Err("give one port, or nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn the_port_is_8080_or_the_argument() {
        let of = |arguments: &[&str]| port(&arguments.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), Ok(8080));
        assert_eq!(of(&["9000"]), Ok(9000));
        assert!(of(&["http"]).unwrap_err().contains("is not a port"));
        assert!(of(&["70000"]).unwrap_err().contains("is not a port"));
        assert!(of(&["1", "2"]).unwrap_err().contains("one port"));
    }
}
