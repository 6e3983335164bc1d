//! The shared library: `luaopen_*` for each module, nothing else.

use std::ffi::c_int;

use luasocket::modules;
use mlua_sys::lua_State;

/// Exports an opener of `luasocket` under the name that Lua's loader looks for.
macro_rules! export {
    ($($symbol:ident = $open:ident),* $(,)?) => {$(
        /// Called by Lua's loader.
        ///
        /// # Safety
        ///
        /// To be called by Lua, with its running state.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(l: *mut lua_State) -> c_int {
            // SAFETY: as our own contract.
            unsafe { modules::$open(l) }
        }
    )*};
}

export! {
    luaopen_ltn12 = ltn12,
    luaopen_mbox = mbox,
    luaopen_mime = mime,
    luaopen_mime_core = mime_core,
    luaopen_socket = socket,
    luaopen_socket_core = socket_core,
    luaopen_socket_digest = socket_digest,
    luaopen_socket_ftp = socket_ftp,
    luaopen_socket_headers = socket_headers,
    luaopen_socket_http = socket_http,
    luaopen_socket_http_body = socket_http_body,
    luaopen_socket_http_connection = socket_http_connection,
    luaopen_socket_http_cookies = socket_http_cookies,
    luaopen_socket_http_core = socket_http_core,
    luaopen_socket_http_deadline = socket_http_deadline,
    luaopen_socket_http_exchange = socket_http_exchange,
    luaopen_socket_http_message = socket_http_message,
    luaopen_socket_http_pool = socket_http_pool,
    luaopen_socket_http_prepare = socket_http_prepare,
    luaopen_socket_http_proxy = socket_http_proxy,
    luaopen_socket_http_redirect = socket_http_redirect,
    luaopen_socket_http_session = socket_http_session,
    luaopen_socket_mbox = socket_mbox,
    luaopen_socket_serial = socket_serial,
    luaopen_socket_smtp = socket_smtp,
    luaopen_socket_smtp_auth = socket_smtp_auth,
    luaopen_socket_smtp_message = socket_smtp_message,
    luaopen_socket_smtp_random = socket_smtp_random,
    luaopen_socket_starttls = socket_starttls,
    luaopen_socket_tp = socket_tp,
    luaopen_socket_task = socket_task,
    luaopen_socket_unix = socket_unix,
    luaopen_socket_url = socket_url,
    luaopen_ssl = ssl,
    luaopen_ssl_config = ssl_config,
    luaopen_ssl_context = ssl_context,
    luaopen_ssl_core = ssl_core,
    luaopen_ssl_https = ssl_https,
    luaopen_ssl_native = ssl_native,
    luaopen_ssl_x509 = ssl_x509,
}
