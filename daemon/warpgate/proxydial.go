package warpgate

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Limits of a connection through a proxy.
const (
	// dialTimeout bounds each step: the look-up of a name together with the connect, and
	// the proxy's answer. Another try is better than a longer wait.
	dialTimeout = 10 * time.Second
	// maxProxyAnswer is more than any proxy's head needs.
	maxProxyAnswer = 16 << 10
)

// proxyDialer dials edges, through an HTTP proxy where the environment names
// one. Names are looked up anew at each call.
type proxyDialer struct {
	// proxy says which proxy a URL goes through, nil for none; as
	// http.Transport.Proxy, but for a URL.
	proxy func(*url.URL) (*url.URL, error)
	// tls is for https proxies; nil for the system's roots.
	tls *tls.Config
}

// environmentProxy follows HTTPS_PROXY and NO_PROXY as net/http does.
func environmentProxy(u *url.URL) (*url.URL, error) {
	return http.ProxyFromEnvironment(&http.Request{URL: u})
}

// DialContext connects to addr. It fits tunnel.LinkConfig.Dial.
func (d *proxyDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	proxy, err := d.proxy(&url.URL{Scheme: "https", Host: addr})
	if err != nil {
		return nil, fmt.Errorf("choosing a proxy for %s: %w", addr, err)
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	if proxy == nil {
		return dialer.DialContext(ctx, network, addr)
	}
	conn, err := d.dialProxy(ctx, dialer, proxy)
	if err != nil {
		return nil, fmt.Errorf("connecting to proxy %s: %w", proxy.Redacted(), err)
	}
	if err := connect(ctx, conn, proxy, addr); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting to %s through proxy %s: %w", addr, proxy.Redacted(), err)
	}
	return conn, nil
}

// dialProxy connects to the proxy itself.
func (d *proxyDialer) dialProxy(ctx context.Context, dialer *net.Dialer, proxy *url.URL) (net.Conn, error) {
	port := proxy.Port()
	switch {
	case proxy.Scheme != "http" && proxy.Scheme != "https":
		return nil, fmt.Errorf("scheme %q is not supported, only http and https are", proxy.Scheme)
	case port == "" && proxy.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	addr := net.JoinHostPort(proxy.Hostname(), port)
	if proxy.Scheme == "http" {
		return dialer.DialContext(ctx, "tcp", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return (&tls.Dialer{NetDialer: dialer, Config: d.tls}).DialContext(ctx, "tcp", addr)
}

// connect asks for a tunnel to addr (RFC 9110, 9.3.6).
func connect(ctx context.Context, conn net.Conn, proxy *url.URL, addr string) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetDeadline(time.Now().Add(dialTimeout))
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	br := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return err
	}
	// Whatever its head says, the answer has no body (RFC 9110, 9.3.6).
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the proxy answers %s", resp.Status)
	}
	// The edge sends nothing before it is spoken to, so these bytes are not its own.
	if br.Buffered() > 0 {
		return errors.New("the proxy sent bytes before the tunnel was used")
	}
	if !stop() {
		return ctx.Err()
	}
	return conn.SetDeadline(time.Time{})
}
