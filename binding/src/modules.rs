//! The modules a Lua program can `require`, and the function that opens each.

use std::ffi::CStr;

use mlua_sys::lua_CFunction;

use crate::embed::lua_module;

pub use crate::digest::open as socket_digest;
pub use crate::http::open as socket_http_core;
pub use crate::mime::open as mime_core;
pub use crate::namespace::open as socket_core;
pub use crate::serial::open_module as socket_serial;
pub use crate::task::primitives::open as socket_task;
pub use crate::tls::open_module as ssl_native;
pub use crate::unix::open_module as socket_unix;
pub use crate::url::open as socket_url;

lua_module!(
    /// `socket`: the namespace, completed by what is written in Lua.
    socket, "socket.lua"
);

lua_module!(
    /// `socket.ftp`: files by FTP.
    socket_ftp,
    "socket/ftp.lua"
);
lua_module!(
    /// `ltn12`: filters, sources, sinks and pumps.
    ltn12, "ltn12.lua"
);
lua_module!(
    /// `mime`: the filters; completes the table of `mime.core`.
    mime, "mime.lua"
);
lua_module!(
    /// `socket.headers`: how header fields are spelt.
    socket_headers, "socket/headers.lua"
);
lua_module!(
    /// `socket.http`: the HTTP client.
    socket_http, "socket/http.lua"
);
lua_module!(
    /// `socket.http.body`: how a body begins and ends.
    socket_http_body, "socket/http/body.lua"
);
lua_module!(
    /// `socket.http.connection`: the object of `http.open`.
    socket_http_connection, "socket/http/connection.lua"
);
lua_module!(
    /// `socket.http.cookies`: the jar.
    socket_http_cookies, "socket/http/cookies.lua"
);
lua_module!(
    /// `socket.http.deadline`: one instant for a whole request.
    socket_http_deadline, "socket/http/deadline.lua"
);
lua_module!(
    /// `socket.http.exchange`: one request, one response.
    socket_http_exchange, "socket/http/exchange.lua"
);
lua_module!(
    /// `socket.http.message`: heads.
    socket_http_message, "socket/http/message.lua"
);
lua_module!(
    /// `socket.http.pool`: idle connections.
    socket_http_pool, "socket/http/pool.lua"
);
lua_module!(
    /// `socket.http.prepare`: what is asked, made ready to send.
    socket_http_prepare, "socket/http/prepare.lua"
);
lua_module!(
    /// `socket.http.proxy`: proxies and tunnels.
    socket_http_proxy, "socket/http/proxy.lua"
);
lua_module!(
    /// `socket.http.redirect`: where to go on.
    socket_http_redirect, "socket/http/redirect.lua"
);
lua_module!(
    /// `socket.http.session`: what requests have in common.
    socket_http_session, "socket/http/session.lua"
);

lua_module!(
    /// `mbox`: mailboxes taken apart.
    mbox, "mbox.lua"
);
lua_module!(
    /// `socket.mbox`: another name of `mbox`.
    socket_mbox,
    "socket/mbox.lua"
);
lua_module!(
    /// `socket.smtp`: sending mail.
    socket_smtp, "socket/smtp.lua"
);
lua_module!(
    /// `socket.smtp.auth`: who sends.
    socket_smtp_auth, "socket/smtp/auth.lua"
);
lua_module!(
    /// `socket.smtp.message`: messages as sources.
    socket_smtp_message, "socket/smtp/message.lua"
);
lua_module!(
    /// `socket.smtp.random`: bytes for identifiers.
    socket_smtp_random, "socket/smtp/random.lua"
);
lua_module!(
    /// `socket.starttls`: TLS put upon a connection.
    socket_starttls, "socket/starttls.lua"
);
lua_module!(
    /// `socket.tp`: commands and replies.
    socket_tp, "socket/tp.lua"
);
lua_module!(
    /// `ssl`: TLS.
    ssl, "ssl.lua"
);
lua_module!(
    /// `ssl.config`: what there is.
    ssl_config, "ssl/config.lua"
);
lua_module!(
    /// `ssl.context`: contexts, step by step.
    ssl_context, "ssl/context.lua"
);
lua_module!(
    /// `ssl.core`: connections, step by step.
    ssl_core, "ssl/core.lua"
);
lua_module!(
    /// `ssl.https`: HTTP over TLS.
    ssl_https, "ssl/https.lua"
);
lua_module!(
    /// `ssl.x509`: certificates.
    ssl_x509, "ssl/x509.lua"
);

/// Name for `require`, and opener, of every module.
pub const MODULES: &[(&CStr, lua_CFunction)] = &[
    (c"ltn12", ltn12),
    (c"mbox", mbox),
    (c"mime", mime),
    (c"mime.core", mime_core),
    (c"socket", socket),
    (c"socket.core", socket_core),
    (c"socket.digest", socket_digest),
    (c"socket.ftp", socket_ftp),
    (c"socket.headers", socket_headers),
    (c"socket.http", socket_http),
    (c"socket.http.body", socket_http_body),
    (c"socket.http.connection", socket_http_connection),
    (c"socket.http.cookies", socket_http_cookies),
    (c"socket.http.core", socket_http_core),
    (c"socket.http.deadline", socket_http_deadline),
    (c"socket.http.exchange", socket_http_exchange),
    (c"socket.http.message", socket_http_message),
    (c"socket.http.pool", socket_http_pool),
    (c"socket.http.prepare", socket_http_prepare),
    (c"socket.http.proxy", socket_http_proxy),
    (c"socket.http.redirect", socket_http_redirect),
    (c"socket.http.session", socket_http_session),
    (c"socket.mbox", socket_mbox),
    (c"socket.serial", socket_serial),
    (c"socket.smtp", socket_smtp),
    (c"socket.smtp.auth", socket_smtp_auth),
    (c"socket.smtp.message", socket_smtp_message),
    (c"socket.smtp.random", socket_smtp_random),
    (c"socket.starttls", socket_starttls),
    (c"socket.tp", socket_tp),
    (c"socket.task", socket_task),
    (c"socket.unix", socket_unix),
    (c"socket.url", socket_url),
    (c"ssl", ssl),
    (c"ssl.config", ssl_config),
    (c"ssl.context", ssl_context),
    (c"ssl.core", ssl_core),
    (c"ssl.https", ssl_https),
    (c"ssl.native", ssl_native),
    (c"ssl.x509", ssl_x509),
];
