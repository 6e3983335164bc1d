//! Peers that are programs of others: nginx as a server of TLS, openssl as its client.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// A running program, stopped when dropped.
pub struct Program {
    child: Child,
    /// What it writes to, if it does.
    folder: Option<PathBuf>,
}

impl Program {
    /// nginx, which answers HTTP over TLS at `port` with three bytes.
    pub fn nginx(port: u16, certificate: &str, key: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("luasocket-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let place = folder.to_string_lossy();
        let text = NGINX
            .replace("PLACE", &place)
            .replace("PORT", &port.to_string())
            .replace("CERTIFICATE", certificate)
            .replace("KEY", key);
        std::fs::write(folder.join("conf"), text)?;
        let mut command = Command::new("nginx");
        command.args([
            "-c",
            &format!("{place}/conf"),
            "-e",
            &format!("{place}/error"),
        ]);
        let program = Self::start(command, Some(folder))?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                return Err("nginx does not come up".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(program)
    }

    /// openssl, which connects to the port `server` and shakes hands, over and over.
    pub fn s_time(server: &str, version: &str) -> Result<Self> {
        let mut command = Command::new("openssl");
        command.args(["s_time", "-new", "-time", "1000", version]);
        command.args(["-connect", &format!("127.0.0.1:{server}")]);
        Self::start(command, None)
    }

    fn start(mut command: Command, folder: Option<PathBuf>) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { child, folder })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

const NGINX: &str = r#"
daemon off; master_process off; pid PLACE/pid; error_log PLACE/error;
events {}
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path PLACE/b; proxy_temp_path PLACE/p; fastcgi_temp_path PLACE/f;
  uwsgi_temp_path PLACE/u; scgi_temp_path PLACE/s;
  server {
    listen 127.0.0.1:PORT ssl;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate CERTIFICATE; ssl_certificate_key KEY;
    location / { return 200 "ok\n"; }
  }
}
"#;
