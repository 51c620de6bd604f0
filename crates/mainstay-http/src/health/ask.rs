use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer;
use super::target::Target;

/// Who asks.
pub(crate) const AGENT: &str = concat!("mainstay/", env!("CARGO_PKG_VERSION"));

/// Makes a connection, to the first of the addresses that lets us.
pub(crate) async fn connect(target: &Target) -> io::Result<TcpStream> {
    TcpStream::connect(&*target.lookup.addrs().await?).await
}

/// Asks over a connection that nobody else uses. It spawns nothing: if this is dropped, the connection is closed.
pub(crate) async fn exchange(stream: TcpStream, target: &Target) -> hyper::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request(&target.uri)).await?;
        let status = response.status();
        if status.is_success() {
            answer::read(response.into_body()).await?;
        }
        Ok(status)
    };
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    let mut closed = false;
    poll_fn(|cx| {
        // Its end says nothing that the answer does not.
        closed = closed || connection.as_mut().poll(cx).is_ready();
        answer.as_mut().poll(cx)
    })
    .await
}

fn request(uri: &Uri) -> Request<String> {
    let mut request = Request::new(String::new());
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        headers.insert(HOST, host);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
}
