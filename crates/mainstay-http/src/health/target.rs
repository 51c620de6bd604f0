use http::Uri;
use http::uri::Scheme;
use mainstay_health::ConfigError;
use mainstay_health::checks::Lookup;

/// Where a plain connection goes, and what is asked there.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) lookup: Lookup,
}

/// An absolute URL.
pub(crate) fn absolute(url: &str) -> Result<Uri, ConfigError> {
    // It may hold a password, in whatever shape.
    let shown = if url.contains('@') { "a URL with credentials" } else { url };
    let refuse = |rule: &str| ConfigError::new("url", format_args!("{shown:?}"), rule);
    let uri: Uri = url.parse().map_err(|_| refuse("must be a URL"))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refuse("must not hold credentials: they are not sent"));
    }
    let whole = uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty());
    if whole { Ok(uri) } else { Err(refuse("must have a scheme and a host, as in http://llm:8000/health")) }
}

impl Target {
    /// Of a URL of plain HTTP.
    pub(crate) fn new(url: &str) -> Result<Self, ConfigError> {
        let uri = absolute(url)?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            let rule = "must begin with http://; other schemes need a client";
            return Err(ConfigError::new("url", format_args!("{url:?}"), rule));
        }
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
        let lookup = Lookup::new(format!("{host}:{port}"));
        Ok(Self { uri, lookup })
    }
}
