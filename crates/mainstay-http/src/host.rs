use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;

use http::header::HOST;
use http::uri::Uri;

/// Whom a request is for: host and port, the key of breakers per host.
///
/// It reads `host:port`, in lower case, and without a port if none is given and the scheme has none of its own (`http`
/// and `ws` have 80, `https` and `wss` 443). User and password are no part of it. Names of up to 62 bytes, port
/// included, take no allocation.
///
/// ```
/// use mainstay_breaker::Keyed;
/// use mainstay_http::Host;
///
/// let hosts = Keyed::<Host>::builder("upstreams").build()?;
/// let breaker = hosts.breaker(&Host::new("EU.example.com", Some(443)))?;
/// # let _ = breaker;
/// assert!(hosts.peek("eu.example.com:443").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Host(Text);

#[derive(Clone)]
enum Text {
    Short { bytes: [u8; SHORT], len: u8 },
    Long(Box<str>),
}

const SHORT: usize = 62;

/// A request that knows whom it is for.
pub trait Addressed {
    /// The host and port.
    fn host(&self) -> Host;
}

impl Host {
    /// A host and its port.
    pub fn new(host: &str, port: Option<u16>) -> Self {
        let mut bytes = [0; SHORT];
        let mut room = &mut bytes[..];
        let written = room.write_all(host.as_bytes()).and_then(|()| match port {
            Some(port) => write!(room, ":{port}"),
            None => Ok(()),
        });
        let len = SHORT - room.len();
        bytes.make_ascii_lowercase();
        Self(match (written, u8::try_from(len), port) {
            (Ok(()), Ok(len), _) => Text::Short { bytes, len },
            (_, _, Some(port)) => Text::Long(format!("{}:{port}", host.to_ascii_lowercase()).into()),
            (_, _, None) => Text::Long(host.to_ascii_lowercase().into()),
        })
    }

    /// The key of requests that do not say whom they are for: an empty name.
    pub fn unknown() -> Self {
        Self::new("", None)
    }

    /// The host of an absolute URI.
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let port = uri.port_u16().or_else(|| default_port(uri.scheme_str()?));
        Some(Self::new(uri.host()?, port))
    }

    /// As text: `host:port`.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short { bytes, len } => {
                let text = bytes.get(..usize::from(*len)).unwrap_or_default();
                std::str::from_utf8(text).unwrap_or_default()
            }
            Text::Long(text) => text,
        }
    }

    /// What a `Host` header says.
    fn of_header(value: &str) -> Self {
        let value = value.trim();
        match value.rsplit_once(':') {
            // In `[::1]` the last colon belongs to the address.
            Some((host, port)) if let Ok(port) = port.parse() => Self::new(host, Some(port)),
            _ => Self::new(value, None),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// By its URI; if that has no authority, by its `Host` header; otherwise [`Host::unknown`].
impl<B> Addressed for http::Request<B> {
    fn host(&self) -> Host {
        Host::of_uri(self.uri()).unwrap_or_else(|| match self.headers().get(HOST).map(|host| host.to_str()) {
            Some(Ok(host)) => Host::of_header(host),
            _ => Host::unknown(),
        })
    }
}

/// By its URL, before any redirect.
#[cfg(feature = "reqwest")]
impl Addressed for reqwest::Request {
    fn host(&self) -> Host {
        match self.url().host_str() {
            Some(host) => Host::new(host, self.url().port_or_known_default()),
            None => Host::unknown(),
        }
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Host {}

/// As the text, which it may be borrowed as.
impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
