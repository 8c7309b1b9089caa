package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/probe"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// dialTimeout bounds a connection that is tried to see whether it can be made.
	dialTimeout = 4 * time.Second
	// maxAnswer is what is read of an answer that doesn't matter.
	maxAnswer = 64 << 10
)

// hostOf is the first address of the control plane.
func hostOf(s invocation.Settings) (*url.URL, error) {
	bases, err := api.ParseBaseURLs("api", s.API)
	if err != nil {
		return nil, err
	}
	return url.Parse(bases[0])
}

func checkDNS(ctx context.Context, e *examination) []Result {
	var names []string
	if s, err := e.plane(ctx); err == nil {
		if u, err := hostOf(s); err == nil {
			names = append(names, u.Hostname())
		}
	}
	places, _ := e.places(ctx)
	for _, p := range places {
		if p.tunnel == nil {
			continue
		}
		if u, err := url.Parse(p.tunnel.URL); err == nil && u.Hostname() != "" && len(names) < 3 {
			names = append(names, u.Hostname()) // they have one domain: two show how it is
		}
	}
	var out []Result
	for _, name := range slices.Compact(names) {
		out = append(out, lookUp(ctx, name)...)
	}
	return out
}

// lookUp asks for the addresses of a name.
func lookUp(ctx context.Context, name string) []Result {
	if _, err := netip.ParseAddr(name); err == nil {
		return one(OK, name+" is an address, which needs no look-up", "", "")
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return one(OK, name+" is this machine", "", "")
	}
	start := time.Now()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return one(Fail, name+" is not found", "DNS knows no such name", "nslookup "+name)
		}
		return failed(name+" can't be looked up", err, "nslookup "+name)
	}
	shown := make([]string, 0, 2)
	for _, a := range found[:min(len(found), cap(shown))] {
		shown = append(shown, a.Unmap().String())
	}
	return one(OK, fmt.Sprintf("%s is %s (%s)", name, strings.Join(shown, ", "), status.Millis(millis(time.Since(start)))), "", "")
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

const (
	// clockLooks and clockPause: an answer tells the second only. Four of them, a quarter of a second
	// apart, tell an eighth.
	clockLooks = 4
	clockPause = 250 * time.Millisecond
	// clockOff is what a certificate's beginning allows for (K10), clockBad what shows that nobody
	// sets the clock.
	clockOff = 5 * time.Minute
	clockBad = 30 * time.Second
)

func checkClock(ctx context.Context, e *examination) []Result {
	s, err := e.plane(ctx)
	if err != nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, factTimeout)
	defer cancel()
	ahead, err := e.ahead(asking, s)
	if err != nil && !e.answers(ctx) {
		return nil // the API says what is wrong
	}
	if err != nil {
		cause, _ := terminal.Explain(err)
		return one(Warn, "not compared with that of the control plane", cause, "mezu doctor, once more")
	}
	ahead = ahead.Round(100 * time.Millisecond)
	direction := "ahead of"
	if ahead < 0 {
		direction, ahead = "behind", -ahead
	}
	says := fmt.Sprintf("%s %s the control plane", terminal.Span(ahead), direction)
	switch {
	case ahead >= clockOff:
		return one(Fail, says, "certificates and logins are judged by the clock, and refused", setClock())
	case ahead >= clockBad:
		return one(Warn, says, "nobody seems to set this clock", setClock())
	}
	return one(OK, says, "", "")
}

// ahead is by how much the clock here is ahead of the control plane's. The certificate is checked,
// but not by the clock, which is what may be wrong.
func (e *examination) ahead(ctx context.Context, s invocation.Settings) (time.Duration, error) {
	u, err := hostOf(s)
	if err != nil {
		return 0, err
	}
	roots, err := probe.Roots(s.CAFile)
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: probe.Proxy, DialContext: probe.Dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: maxAnswer,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error { return verifyAnytime(c, u.Hostname(), roots) }}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	// What is true lies in all of these intervals.
	least, most := time.Duration(-1<<63), time.Duration(1<<63-1)
	for i := range clockLooks {
		if i > 0 && invocation.Pause(ctx, clockPause) != nil {
			break
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String()+"/v1/self", http.NoBody)
		if err != nil {
			return 0, err
		}
		before := e.inv.Clock()
		resp, err := client.Do(req)
		if err != nil && i > 0 {
			break // what is known is true
		}
		if err != nil {
			return 0, err
		}
		after := e.inv.Clock()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // the head counts
		resp.Body.Close()
		date, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil {
			return 0, err
		}
		least, most = max(least, before.Sub(date)-time.Second), min(most, after.Sub(date))
	}
	return (least + most) / 2, nil
}

// verifyAnytime checks a certificate as of the middle of its life.
func verifyAnytime(c tls.ConnectionState, host string, roots *x509.CertPool) error {
	leaf := c.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, more := range c.PeerCertificates[1:] {
		between.AddCert(more)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host, CurrentTime: leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)})
	return err
}

func checkProxy(ctx context.Context, e *examination) []Result {
	get := func(names ...string) (name, value string) {
		for _, name := range names {
			if v := e.inv.Getenv(name); v != "" {
				return name, v
			}
		}
		return "", ""
	}
	name, value := get("HTTPS_PROXY", "https_proxy")
	if value == "" {
		return one(OK, "none is set: connections go straight", "", "")
	}
	proxy, err := parseProxy(value)
	if err != nil {
		return one(Fail, name+" is no address of a proxy", "tunnels and commands can't connect", "export "+name+"=http://HOST:PORT, or unset "+name)
	}
	shown := name + "=" + maskURL(proxy)
	_, except := get("NO_PROXY", "no_proxy")
	s, err := e.plane(ctx)
	if err == nil {
		if u, err := hostOf(s); err == nil {
			through, err := (&httpproxy.Config{HTTPSProxy: value, NoProxy: except}).ProxyFunc()(u)
			if err == nil && through == nil {
				return one(OK, shown+" is not for "+u.Hostname(), "", "")
			}
		}
	}
	if err := dial(ctx, proxyAddress(proxy)); err != nil {
		return one(Fail, shown+" "+dialWord(err), "tunnels and commands go through it", "curl -v "+maskURL(proxy))
	}
	if !slices.ContainsFunc(strings.Split(except, ","), func(p string) bool { return strings.TrimSpace(p) == "localhost" }) {
		return one(Warn, shown+" carries the tunnels; NO_PROXY lacks localhost", "other programs may ask the proxy for what runs on this machine", "export NO_PROXY=localhost,127.0.0.1,::1")
	}
	return one(OK, shown+" carries the tunnels", "", "")
}

// parseProxy reads a proxy's address as net/http does: without a scheme it is http.
func parseProxy(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("no address of a proxy")
	}
	return u, nil
}

func proxyAddress(u *url.URL) string {
	standard := map[string]string{"http": "80", "https": "443"}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), standard[u.Scheme]))
}

// dial tries a connection.
func dial(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := probe.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// dialWord says how a connection failed, as the end of a sentence.
func dialWord(err error) string {
	switch f := probe.Failure(err); f {
	case "refused":
		return "refuses the connection"
	case "timed out":
		return "does not answer"
	case "unknown name":
		return "is not found"
	}
	return "can't be reached: " + err.Error()
}

func checkAPI(ctx context.Context, e *examination) []Result {
	s, err := e.plane(ctx)
	if errors.Is(err, errUnnamed) {
		return one(Fail, "no control plane is named", "", "mezu dev 8080, for all of it on this machine, or mezu login --api URL")
	}
	if err != nil {
		return nil
	}
	answer, err := e.answer.wait(ctx)
	if answer.unmade {
		return failed("", err, "mezu login --api URL")
	}
	if err == nil {
		return one(OK, fmt.Sprintf("%s answers (%s)", s.API, status.Millis(millis(answer.took))), "", "")
	}
	if _, ok := errors.AsType[*mezu.Error](err); ok {
		return failed(s.API+" does not answer as a control plane", err, "look at the address, and whether a proxy answers in its place")
	}
	u, parseErr := hostOf(s)
	hint := "curl -v " + s.API + "/v1/self"
	cause := ""
	switch f := probe.Failure(err); {
	case f == "refused" && parseErr == nil && localHost(u.Hostname()):
		cause, hint = "no control plane runs on this machine", "mezu dev 8080"
	case f == "refused":
		cause = "it is not running, or a firewall is between here and there"
	case f == "not trusted" || f == "certificate not good now":
		return nil // that is the private CA's
	}
	return one(Fail, s.API+" "+dialWord(err), cause, hint)
}

func localHost(name string) bool {
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}

// soon is how long before its end a CA is worth a word.
const soon = 30 * 24 * time.Hour

func checkCA(ctx context.Context, e *examination) []Result {
	s, err := e.plane(ctx)
	if err != nil {
		return nil
	}
	says := "none: the system's certificates are trusted"
	state, cause, hint := OK, "", ""
	if s.CAFile != "" {
		ends, err := endOf(s.CAFile)
		if err != nil {
			return failed("", err, "mezu login --api "+s.API+" --ca-file FILE, with the CA of the installation")
		}
		left := ends.Sub(e.inv.Clock())
		says = fmt.Sprintf("%s, good until %s", s.CAFile, ends.Format(time.DateOnly))
		switch {
		case left < 0:
			return one(Fail, s.CAFile+" ended on "+ends.Format(time.DateOnly), "nothing that it signed is trusted any more", "ask for the installation's new CA file")
		case left < soon:
			state, cause, hint = Warn, "it ends in "+terminal.Span(left), "ask for the installation's new CA file"
		}
	}
	answer, err := e.answer.wait(ctx)
	switch probe.Failure(err) {
	case "not trusted":
		return one(Fail, s.API+" has a certificate that is not trusted here", shortCause(err), "mezu doctor --ca-file FILE, with the CA of the installation")
	case "certificate not good now":
		return one(Fail, s.API+" has a certificate that is not good now", shortCause(err), "look at the clock of this machine, and at that of the control plane")
	}
	if _, refused := errors.AsType[*mezu.Error](err); state == OK && err != nil && (answer.unmade || !refused) {
		return nil // no certificate was seen: the API says why
	}
	return one(state, says, cause, hint)
}

// shortCause is what the check of a certificate said.
func shortCause(err error) string {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return verify.Err.Error()
	}
	return err.Error()
}

// endOf is when the last certificate of a CA's file ends.
func endOf(file string) (ends time.Time, err error) {
	if _, err := probe.Roots(file); err != nil {
		return ends, err
	}
	data, err := os.ReadFile(file) // it is a file of bounded size, as Roots has seen
	if err != nil {
		return ends, err
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return ends, nil
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && c.NotAfter.After(ends) {
			ends = c.NotAfter
		}
		data = rest
	}
}

func checkEdges(ctx context.Context, e *examination) []Result {
	f, _ := e.daemon.wait(ctx) // without a daemon there is no link
	links := map[string]mezu.Link{}
	for _, t := range f.tunnels {
		for _, l := range t.Links {
			// Of several tunnels' links to an edge the worst counts.
			if before, ok := links[l.Name]; !ok || before.State == mezu.LinkConnected {
				links[l.Name] = l
			}
		}
	}
	var all []mezu.Link
	works := ""
	for _, l := range links {
		all = append(all, l)
		if l.State == mezu.LinkConnected && (works == "" || l.Name < works) {
			works = l.Name
		}
	}
	if len(all) == 0 {
		return e.publicEdges(ctx)
	}
	up := func(l mezu.Link) int { // those that need a look come first
		if l.State == mezu.LinkConnected {
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b mezu.Link) int { return cmp.Or(up(a)-up(b), strings.Compare(a.Name, b.Name)) })
	all, more := most(all)
	return append(each(all, func(l mezu.Link) []Result { return e.checkLink(ctx, l, works) }), unlooked(more, "edge")...)
}

// checkLink looks at the way to one edge. works is an edge that is reached.
func (e *examination) checkLink(ctx context.Context, l mezu.Link, works string) []Result {
	r := Result{Subject: l.Name, State: OK}
	if l.State == mezu.LinkConnected || l.State == mezu.LinkDraining {
		r.Detail = l.Address
		if l.RoundTripMS > 0 {
			r.Detail += ", " + status.Millis(l.RoundTripMS)
		}
		r.Detail += ", " + count(l.Connections, "connection")
		return []Result{r}
	}
	r.State = Fail
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil || e.proxied(l.Address) {
		r.Detail, r.Cause, r.Hint = "no link", l.Error, "mezu daemon logs"
		return []Result{r}
	}
	if err := dial(ctx, l.Address); err != nil {
		r.Detail = l.Address + " " + dialWord(err)
		r.Cause = "a firewall between here and there, most likely"
		if works != "" {
			r.Cause += "; " + works + " works"
		}
		r.Hint = "curl -v https://" + net.JoinHostPort(host, port)
		return []Result{r}
	}
	r.Detail, r.Cause, r.Hint = l.Address+" is reached, and there is no link", cmp.Or(l.Error, string(l.State)), "mezu daemon logs"
	return []Result{r}
}

// proxied reports whether connections to an address go through a proxy, so that its way can't be
// seen from here.
func (e *examination) proxied(address string) bool {
	through, err := (&httpproxy.Config{HTTPSProxy: cmp.Or(e.inv.Getenv("HTTPS_PROXY"), e.inv.Getenv("https_proxy")), NoProxy: cmp.Or(e.inv.Getenv("NO_PROXY"), e.inv.Getenv("no_proxy"))}).ProxyFunc()(&url.URL{Scheme: "https", Host: address})
	return err != nil || through != nil
}
