package mezu

import (
	"mime"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits of the local daemon.
const (
	// MaxTunnels is how many tunnels one daemon has: more than anybody looks after, and
	// few enough that their keys, links and states fit a small machine.
	MaxTunnels = 100
	// MaxTunnelTargets bounds the further targets of a tunnel, each of which a person
	// allowed by name.
	MaxTunnelTargets = 64
	// MaxTunnelTarget bounds a target that is no folder: a name, its zone and port, or the
	// path of a socket.
	MaxTunnelTarget = 512
	// MaxTunnelPath bounds the path of a folder or CA file, as systems do, and the address of
	// the control plane.
	MaxTunnelPath = 4096
)

// PrefixTunnel begins the id of a tunnel of the local daemon.
const PrefixTunnel = "tun"

// How the Host field of requests is sent to the workload of a tunnel.
const (
	// HostKeep sends the host that the visitor asked for; it is what an empty value means.
	HostKeep = "keep"
	// HostTarget sends the host and port of the target, as a browser on this machine would.
	HostTarget = "target"
)

// TunnelSpec is what was asked for of one tunnel of the local daemon: which environment it
// serves and with what. It holds no login and no API key.
type TunnelSpec struct {
	// Profile is the name of the profile whose commands enrol the tunnel. The daemon doesn't
	// read it.
	Profile string `json:"profile"`
	// API is the control plane, CAFile the absolute path of its CA; if empty, the system's
	// roots.
	API    string `json:"api"`
	CAFile string `json:"ca_file,omitempty"`

	Organization string `json:"organization"`
	Project      string `json:"project"`
	Environment  string `json:"environment"`

	TunnelTarget

	// Detached says that the tunnel lives until it is stopped, over restarts of the daemon.
	// One that isn't lives as long as somebody is attached to it, and a moment more.
	Detached bool `json:"detached,omitempty"`
	// Stopped says that it was stopped and is kept.
	Stopped bool `json:"stopped,omitempty"`
	// Uninspected says that the inspector keeps none of its requests.
	Uninspected bool `json:"uninspected,omitempty"`
	// Made says that the run that opened the tunnel made its environment.
	Made bool `json:"made,omitempty"`
}

// TunnelTarget is where a tunnel leads, and how it gets there. It can be changed while the
// tunnel is open.
type TunnelTarget struct {
	// Target is an upstream as ParseUpstream reads it, the absolute path of a folder,
	// whose files are served, or TargetCapture.
	Target string `json:"target"`
	// Capture is the answer of TargetCapture; if nil, 200 without a body.
	Capture *TunnelCapture `json:"capture,omitempty"`
	// Listing shows what a folder holds where there is no index.html; SPA answers with the
	// folder's index.html where there is no such file.
	Listing bool `json:"listing,omitempty"`
	SPA     bool `json:"spa,omitempty"`
	// AllowTargets are further upstreams that routes may name.
	AllowTargets []string `json:"allow_targets,omitempty"`
	// HostHeader is HostKeep, HostTarget, or the host to send; if empty, HostKeep.
	HostHeader string `json:"host_header,omitempty"`
	// UpstreamCA is the absolute path of the CA of an https target in PEM. Insecure does not
	// check its certificate.
	UpstreamCA string `json:"upstream_ca,omitempty"`
	Insecure   bool   `json:"insecure_upstream,omitempty"`
	// BasicAuth asks visitors for a password; if nil, nobody is asked.
	BasicAuth *TunnelPassword `json:"basic_auth,omitempty"`
}

// TunnelPassword is who may pass a tunnel by a password of the run (RFC 7617). The password
// itself is kept nowhere.
type TunnelPassword struct {
	User string `json:"user"`
	// Salt and Hash are PBKDF2 (RFC 8018) of the password with HMAC-SHA-256, Iterations
	// rounds and 32 bytes.
	Salt       []byte `json:"salt"`
	Hash       []byte `json:"hash"`
	Iterations int    `json:"iterations"`
}

// Folder reports whether the target is a folder.
func (t *TunnelTarget) Folder() bool { return filepath.IsAbs(t.Target) }

// Validate checks what is asked for of a tunnel.
func (s *TunnelSpec) Validate() error {
	for _, n := range []struct{ field, name string }{{"profile", s.Profile}, {"organization", s.Organization}, {"project", s.Project}, {"environment", s.Environment}} {
		if err := ValidateName(n.field, n.name); err != nil {
			return err
		}
	}
	if s.API == "" {
		return Invalid("api", "the address of the control plane is required")
	}
	if len(s.API) > MaxTunnelPath {
		return Invalid("api", "an address has at most %d bytes", MaxTunnelPath)
	}
	if err := validateLocalPath("ca_file", s.CAFile); err != nil {
		return err
	}
	return s.TunnelTarget.Validate()
}

// Bounds of a TunnelPassword. Fewer rounds or a shorter salt would make guessing cheap, more
// rounds every first request slow.
const (
	minPasswordRounds = 100_000
	maxPasswordRounds = 10_000_000
	leastSalt         = 16
	passwordHash      = 32
	maxPasswordUser   = 64
)

// Validate checks a target.
func (t *TunnelTarget) Validate() error {
	switch {
	case t.Target == TargetCapture:
		if err := t.validateCapture(); err != nil {
			return err
		}
	case t.Folder():
		if err := validateLocalPath("target", t.Target); err != nil {
			return err
		}
	default:
		if t.Listing || t.SPA {
			return Invalid("target", "listing and spa are for a folder")
		}
		if err := validateTarget(t.Target); err != nil {
			return Below("target", err)
		}
	}
	if t.Capture != nil && t.Target != TargetCapture {
		return Invalid("capture", "is for the target %s", TargetCapture)
	}
	if len(t.AllowTargets) > MaxTunnelTargets {
		return Invalid("allow_targets", "has %d targets, %d at most", len(t.AllowTargets), MaxTunnelTargets)
	}
	for _, a := range t.AllowTargets {
		if err := validateTarget(a); err != nil {
			return Below("allow_targets", err)
		}
	}
	if !slices.Contains([]string{"", HostKeep, HostTarget}, t.HostHeader) && !plainHost(t.HostHeader) {
		return Invalid("host_header", "is keep, target or a host, not %q", t.HostHeader)
	}
	if t.Insecure && t.UpstreamCA != "" {
		return Invalid("insecure_upstream", "a certificate that is not checked needs no CA")
	}
	if err := validateLocalPath("upstream_ca", t.UpstreamCA); err != nil {
		return err
	}
	if p := t.BasicAuth; p != nil {
		switch {
		case p.User == "" || len(p.User) > maxPasswordUser || strings.ContainsFunc(p.User, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }):
			return Invalid("basic_auth.user", "is 1 to %d visible ASCII characters without a colon", maxPasswordUser)
		case len(p.Salt) < leastSalt || len(p.Salt) > passwordHash || len(p.Hash) != passwordHash || p.Iterations < minPasswordRounds || p.Iterations > maxPasswordRounds:
			return Invalid("basic_auth", "is PBKDF2 with %d bytes, a salt of %d to %d and %d to %d rounds", passwordHash, leastSalt, passwordHash, minPasswordRounds, maxPasswordRounds)
		}
	}
	return nil
}

// validateCapture checks the answer of a tunnel without a workload.
func (t *TunnelTarget) validateCapture() error {
	if t.Listing || t.SPA {
		return Invalid("target", "listing and spa are for a folder")
	}
	c := t.Capture
	switch {
	case c == nil:
		return nil
	case c.Status != 0 && (c.Status < 200 || c.Status > 599):
		return Invalid("capture.status", "is 200 to 599, not %d", c.Status)
	case len(c.Body) > MaxCaptureBody:
		return Invalid("capture.body", "has %d bytes, %d at most", len(c.Body), MaxCaptureBody)
	case (c.Status == 204 || c.Status == 304) && len(c.Body) > 0:
		return Invalid("capture.body", "an answer %d has no body", c.Status)
	}
	if _, _, err := mime.ParseMediaType(c.MediaType); c.MediaType != "" && err != nil {
		return Invalid("capture.media_type", "is no media type: %q", c.MediaType)
	}
	return nil
}

func validateTarget(text string) error {
	if len(text) > MaxTunnelTarget {
		return Invalid("", "has at most %d bytes", MaxTunnelTarget)
	}
	_, err := ParseUpstream(text)
	return err
}

// plainHost reports whether text is a host, with or without a port, as a Host field has it.
func plainHost(text string) bool {
	host, port := cutPort(text)
	if port != "" {
		if _, ok := parsePort(port); !ok {
			return false
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	for label := range strings.SplitSeq(host, ".") {
		if !isLabel(strings.ToLower(label)) {
			return false
		}
	}
	return len(host) <= MaxLabelLength*4
}

func validateLocalPath(field, path string) error {
	switch {
	case path == "":
		return nil
	case len(path) > MaxTunnelPath:
		return Invalid(field, "a path has at most %d bytes", MaxTunnelPath)
	case !filepath.IsAbs(path) || strings.ContainsRune(path, 0):
		return Invalid(field, "is an absolute path, not %q", path)
	}
	return nil
}

// TunnelState is how a tunnel of the local daemon is.
type TunnelState string

// States of tunnels.
const (
	// TunnelStarting: it registers, or waits for its first edge.
	TunnelStarting TunnelState = "starting"
	// TunnelLive: every edge of its environment holds a link.
	TunnelLive TunnelState = "live"
	// TunnelPartly: some edges hold a link, and requests arrive through these.
	TunnelPartly TunnelState = "partly"
	// TunnelDown: no edge holds a link now. It comes back by itself.
	TunnelDown TunnelState = "down"
	// TunnelNeedsLogin: it has no certificate that is good, and a command of its profile has
	// to enrol it. Nothing of it is lost.
	TunnelNeedsLogin TunnelState = "needs_login"
	// TunnelDraining: it ends when its requests have.
	TunnelDraining TunnelState = "draining"
	// TunnelStopped: it was stopped.
	TunnelStopped TunnelState = "stopped"
)

// Tunnel is one tunnel of the local daemon.
type Tunnel struct {
	// ID is the daemon's own: tun_ and letters.
	ID string `json:"id"`
	// Name is PROJECT/ENVIRONMENT, with the profile before it where two would be equal.
	Name string `json:"name"`
	TunnelSpec

	State TunnelState `json:"state"`
	// Code, Detail and Hint say why it is not live, as a refusal does.
	Code   Code   `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`

	// URL is the public address, empty before the first registration.
	URL string `json:"url,omitempty"`
	// Warpgate is the id, empty before the first registration.
	Warpgate string `json:"warpgate,omitempty"`
	// PublicKeySHA256 is the hash of the key to which an enrolment token has to be bound.
	PublicKeySHA256 string `json:"public_key_sha256"`
	// CertificateEnds is zero while there is no certificate.
	CertificateEnds time.Time `json:"certificate_ends_at,omitzero"`
	// Bundle is the configuration in force.
	Bundle Position `json:"bundle,omitzero"`
	// ControlAway is since when the control plane could not be reached, zero if it could at
	// the last try. The tunnel goes on without it.
	ControlAway time.Time `json:"control_away_since,omitzero"`

	Links []Link `json:"links"`
	// Workload is what the last connection to the target came to.
	Workload Workload    `json:"workload"`
	Stats    TunnelStats `json:"stats"`
	// Attached is how many commands hold it open.
	Attached  int       `json:"attached"`
	CreatedAt time.Time `json:"created_at"`
}

// LinkState is how the link to one edge is.
type LinkState string

// States of links.
const (
	LinkConnecting LinkState = "connecting"
	LinkConnected  LinkState = "connected"
	LinkDraining   LinkState = "draining"
	LinkDown       LinkState = "down"
	LinkRefused    LinkState = "refused" // by the edge, which is asked again in a while
)

// Link is the tunnel's link to one edge.
type Link struct {
	Edge    string    `json:"edge"` // id
	Name    string    `json:"name"`
	Address string    `json:"address,omitempty"`
	State   LinkState `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	// RoundTripMS is the TCP round-trip time of the control connection in milliseconds, as
	// the system measures it; zero where it doesn't tell.
	RoundTripMS float64 `json:"round_trip_ms,omitempty"`
	// Connections is the number of data connections.
	Connections int `json:"connections"`
	// Error is why there is no connection.
	Error string `json:"error,omitempty"`
}

// Workload is what is known of what answers at the target.
type Workload struct {
	// Up says that the last connection succeeded; nil if none was tried.
	Up *bool `json:"up,omitempty"`
	// Program is what listens there, if that is known: "vite".
	Program string `json:"program,omitempty"`
	Code    Code   `json:"code,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// TunnelStats are the requests of a tunnel since the daemon opened it, and its rates over the
// last seconds.
type TunnelStats struct {
	Requests uint64 `json:"requests"`
	// Failed were answered 5xx, by the workload or for it.
	Failed uint64 `json:"failed"`
	// Classes are how many were answered 1xx, 2xx, 3xx, 4xx and 5xx.
	Classes  [5]uint64 `json:"classes"`
	BytesIn  uint64    `json:"bytes_in"`
	BytesOut uint64    `json:"bytes_out"`
	InFlight int       `json:"in_flight"`
	// Sockets of those in flight are upgraded connections.
	Sockets int `json:"sockets"`
	// PerSecond is over the last ten seconds; P50MS and P99MS are times until the answer
	// was complete, over the last minute, upgraded connections left out.
	PerSecond float64 `json:"requests_per_second"`
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
}

// TunnelName is the name of the tunnel to an environment: PROJECT/ENVIRONMENT.
func TunnelName(project, environment string) string { return project + "/" + environment }
