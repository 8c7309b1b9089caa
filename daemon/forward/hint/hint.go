// Package hint recognises what is in a developer's way when a workload answers through a
// tunnel otherwise than it does on their machine, and says what to do about it.
//
// What lives here: what development servers and frameworks answer to a host or an origin that
// they don't know, what TLS on one side alone looks like, and the words for each. What may
// not: connections, and anything that changes a request or an answer. Package daemon/forward
// shows it what passes; who opens a tunnel makes it and says what it says.
package hint

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mezusphere/mezu"
)

// Kind is what is in the way.
type Kind string

// Kinds of hints.
const (
	// HostCheck: the workload refuses the name that visitors use.
	HostCheck Kind = "host_check"
	// OriginCheck: it refuses requests of the pages that it serves itself, because of the
	// address that these have.
	OriginCheck Kind = "origin_check"
	// SpeaksTLS: it expects TLS, and the target is plain.
	SpeaksTLS Kind = "speaks_tls"
	// SpeaksPlain: it speaks no TLS, and the target is https.
	SpeaksPlain Kind = "speaks_plain"
	// Certificate: its certificate is not to be believed.
	Certificate Kind = "certificate"
	// Refused: nothing answers at the target yet.
	Refused Kind = "refused"
	// Gone: nothing answers there any more.
	Gone Kind = "gone"
	// Container: nothing answers, and the target is this container itself.
	Container Kind = "container"
)

// kinds is how many there are.
const kinds = 8

// bit is the kind's own.
func (k Kind) bit() uint32 {
	for i, other := range [kinds]Kind{HostCheck, OriginCheck, SpeaksTLS, SpeaksPlain, Certificate, Refused, Gone, Container} {
		if k == other {
			return 1 << i
		}
	}
	return 0
}

// answers are the kinds that answers show.
func answers() uint32 { return HostCheck.bit() | OriginCheck.bit() | SpeaksTLS.bit() }

// Hint is what is in the way, and what helps.
type Hint struct {
	Kind Kind
	// Framework is whose check it is, as its makers write it; empty if it is nobody's.
	Framework string
	// Message is one sentence without a full stop.
	Message string
	// Fixes are one or more of what helps, each alone: a command, or a place and behind a
	// newline what to write there.
	Fixes []string
}

// Config says what a Watcher is about.
type Config struct {
	// Target is the upstream that requests go to.
	Target mezu.Upstream
	// HostHeader is as in forward.Targets.
	HostHeader string
	// Contained says that this process runs in a container of its own, where localhost is not
	// the machine that a person thinks of.
	Contained bool
	// Say is called with each hint, once for each kind. Requests wait for it.
	Say func(Hint)
}

// Watcher says once of each kind what it has recognised. It is safe for concurrent use.
type Watcher struct {
	cfg    Config
	said   atomic.Uint32 // bits of kinds
	saying sync.Mutex
	worked atomic.Bool
	tried  atomic.Bool // whether the target speaks TLS
}

// New makes a Watcher.
func New(cfg Config) *Watcher { return &Watcher{cfg: cfg} }

// Suspects reports whether an answer with this status and length may be one to look at: one
// that refuses, while there is something left to say of such. webpack-dev-server 4 refuses
// with 200; its answer is known by its length.
func (w *Watcher) Suspects(status int, length int64) bool {
	return (status >= 400 || status == 200 && length == int64(len(invalidHost))) && w.said.Load()&answers() != answers()
}

// Looks reports whether such an answer is to be looked at by its fields: it is text, and not
// compressed.
func Looks(contentType, contentEncoding string) bool {
	if contentEncoding != "" {
		return false
	}
	contentType = strings.ToLower(contentType)
	return contentType == "" || strings.HasPrefix(contentType, "text/") || strings.HasPrefix(contentType, "application/json") || strings.HasPrefix(contentType, "application/problem+json")
}

// MayTryTLS reports, once, whether it is worth a try to speak TLS to the target: a program
// that doesn't writes an error to its log.
func (w *Watcher) MayTryTLS() bool {
	return w.cfg.Target.Network() == "tcp" && w.cfg.Target.Scheme != mezu.UpstreamHTTPS && w.said.Load()&SpeaksTLS.bit() == 0 && !w.tried.Swap(true)
}

// speaksTLS is the hint to a target that expects TLS.
func (w *Watcher) speaksTLS() Hint {
	at, fix := w.cfg.Target.Address, "mezu tunnel https://"+w.cfg.Target.Address
	if w.cfg.Target.Scheme == mezu.UpstreamUnix { // there is no such target
		at, fix = w.cfg.Target.String(), "have it speak HTTP there, or listen at a port"
	}
	return Hint{Kind: SpeaksTLS, Message: "what listens at " + at + " speaks TLS", Fixes: []string{fix}}
}

// Worked says that the workload has answered.
func (w *Watcher) Worked() {
	if !w.worked.Load() {
		w.worked.Store(true)
	}
}

// say says a hint, unless one of its kind was said.
func (w *Watcher) say(h Hint) {
	w.saying.Lock()
	defer w.saying.Unlock()
	bit := h.Kind.bit()
	if w.said.Load()&bit != 0 {
		return
	}
	w.said.Store(w.said.Load() | bit)
	w.cfg.Say(h)
}

// Answer is shown the beginning of an answer that Looks has asked for. host is the visitor's
// name for the workload without a port, path the request's.
func (w *Watcher) Answer(status int, host, path string, text []byte) {
	if h, ok := w.recognise(status, host, path, string(text)); ok {
		w.say(h)
	}
}

// Upgrade is told of an upgrade that the workload answered with what is no response, of a
// page with an origin. Next does so to one that it doesn't know.
func (w *Watcher) Upgrade(host, path string) {
	if strings.Contains(path, "/_next/") && w.cfg.HostHeader != mezu.HostTarget {
		w.say(w.next(host))
	}
}

// TLS says that what listens at the target was found to speak TLS.
func (w *Watcher) TLS() { w.say(w.speaksTLS()) }

// Plain says that it was found to speak no TLS.
func (w *Watcher) Plain() {
	plain := mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: w.cfg.Target.Address}
	w.say(Hint{Kind: SpeaksPlain, Message: "what listens at " + w.cfg.Target.Address + " speaks no TLS", Fixes: []string{"mezu tunnel " + typed(plain)}})
}

// maxReason bounds what is said of a certificate: it may name a hundred hosts.
const maxReason = 200

// Distrusted says why the certificate of the target is not believed.
func (w *Watcher) Distrusted(err error) {
	why := strings.TrimPrefix(err.Error(), "x509: ")
	if len(why) > maxReason {
		why = strings.ToValidUTF8(why[:maxReason], "") + "…"
	}
	command := "mezu tunnel " + typed(w.cfg.Target)
	w.say(Hint{Kind: Certificate, Message: "the certificate of " + w.cfg.Target.Address + " is not trusted: " + why,
		Fixes: []string{command + " --upstream-ca FILE, with its CA in PEM", command + " --insecure-upstream, which checks nothing"}})
}

// Refuses says that nothing answers at the target.
func (w *Watcher) Refuses() {
	at := w.cfg.Target.String()
	if w.cfg.Contained && w.cfg.Target.Loopback() && !w.worked.Load() {
		_, port, _ := net.SplitHostPort(w.cfg.Target.Address)
		there := w.cfg.Target
		there.Address = net.JoinHostPort("host.docker.internal", port)
		w.say(Hint{Kind: Container, Message: "nothing answers at " + at + ", which is this container itself", Fixes: []string{"mezu tunnel " + there.String() + ", for the machine that it runs on"}})
		return
	}
	h := Hint{Kind: Refused, Message: "nothing answers at " + at}
	if w.worked.Load() {
		h.Kind, h.Message = Gone, h.Message+" any more"
	}
	w.say(h)
}

// typed is a target as a person types it: a port alone if that is enough.
func typed(u mezu.Upstream) string {
	if host, port, err := net.SplitHostPort(u.Address); err == nil && u.Scheme == mezu.UpstreamHTTP && host == "localhost" {
		return port
	}
	return u.String()
}
