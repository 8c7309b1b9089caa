// Package local is the contract of the local daemon's API and its client: HTTP over a socket
// that only this user reaches. Both ends of the wire meet here, as those of the REST API do in
// package api; the nouns are in the root package.
//
// What lives here: the operations and their bodies, the events of the streams, the client, and
// the socket with the checks of who is at its other end. What may not: what an operation does,
// which is the daemon's business; flags and terminals. cli, daemon and cmd import it.
package local

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Version is the generation of the API: the first part of each path. A daemon of another one
// is not spoken to.
const Version = "v1"

// NoOperation is the detail of a refusal of a path that has no operation. A client tells a daemon
// that is older than itself by it.
const NoOperation = "there is no such operation of the local API " + Version

// Headers of every answer.
const (
	// HeaderVersion carries the version of the daemon's program.
	HeaderVersion = "Mezu-Version"
	// HeaderGeneration carries the Version of the API, by which a client tells a daemon of
	// another generation from a program that is none.
	HeaderGeneration = "Mezu-Local-API"
)

// MediaEvents is the media type of streams, in which the id of an event is its Cursor.
const MediaEvents = "text/event-stream"

// QueryBytes of PathLog is how many bytes of the log are asked for, at most MaxLog.
const QueryBytes = "bytes"

// Paths of the operations. {id} is a tunnel's.
const (
	PathStatus    = "/v1/status"                 // GET: Status
	PathTunnels   = "/v1/tunnels"                // GET: Tunnels; POST Open: Opened
	PathTunnel    = "/v1/tunnels/{id}"           // GET: mezu.Tunnel; PATCH TunnelPatch: mezu.Tunnel; DELETE
	PathEnrolment = "/v1/tunnels/{id}/enrolment" // PUT Enrolment: mezu.Tunnel
	PathStart     = "/v1/tunnels/{id}/start"     // POST: mezu.Tunnel
	PathStop      = "/v1/tunnels/{id}/stop"      // POST Drain: mezu.Tunnel
	PathProbe     = "/v1/tunnels/{id}/probe"     // POST: Probe
	PathAttach    = "/v1/tunnels/{id}/attach"    // GET: text/event-stream of this tunnel, which lives as long as the stream
	PathEvents    = "/v1/events"                 // GET: text/event-stream of all tunnels
	PathLog       = "/v1/log"                    // GET: text/plain, the last bytes of the log
	PathShutdown  = "/v1/shutdown"               // POST Shutdown
)

// Limits of the API.
const (
	// MaxClients is how many connections the daemon serves at once: every command, dashboard
	// and editor of one person.
	MaxClients = 64
	// MaxBody bounds a request's body, far above any that has a meaning.
	MaxBody = 1 << 20
	// MaxAnswer bounds an answer that is no stream: all tunnels with all links.
	MaxAnswer = 8 << 20
	// MaxEvent bounds one event of a stream: a tunnel with all targets and links.
	MaxEvent = 256 << 10
	// MaxLog is the most of the log that is sent.
	MaxLog = 1 << 20
	// MaxDrain is the longest that a request in flight may be waited for.
	MaxDrain = time.Hour
	// MaxSocketPath is the longest path of a socket: systems allow 104 to 108 bytes.
	MaxSocketPath = 100
)

// Status is what the daemon says of itself.
type Status struct {
	// Version is that of its program.
	Version string `json:"version"`
	// Host is who runs the tunnels: HostDaemon or HostDev.
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	// Program is the path of its executable.
	Program string `json:"program,omitempty"`
	// StateDir holds the tunnels, LogFile is its log; empty if it has none.
	StateDir string `json:"state_dir"`
	LogFile  string `json:"log_file,omitempty"`
	Tunnels  int    `json:"tunnels"`
	Clients  int    `json:"clients"`
	InFlight int    `json:"in_flight"`
	// Damaged are the tunnels whose record could not be read at the start, by what is known
	// of them.
	Damaged []string `json:"damaged,omitempty"`
}

// Who runs tunnels.
const (
	HostDaemon = "daemon" // "mezu daemon"
	HostDev    = "dev"    // "mezu dev"
)

// Tunnels are all tunnels, by name.
type Tunnels struct {
	Items []mezu.Tunnel `json:"items"`
}

// Open asks for a tunnel. One to the same environment of the same control plane that has the
// same target is the same tunnel; one that has another is a conflict.
type Open = mezu.TunnelSpec

// Opened is the tunnel, and whether this call made it.
type Opened struct {
	mezu.Tunnel
	New bool `json:"new"`
}

// TunnelPatch changes a tunnel (RFC 7396 in its effect: what is nil stays).
type TunnelPatch struct {
	// Target replaces all of the target's settings.
	Target   *mezu.TunnelTarget `json:"target,omitempty"`
	Detached *bool              `json:"detached,omitempty"`
	// Uninspected says whether the inspector keeps none of its requests from now on.
	Uninspected *bool `json:"uninspected,omitempty"`
}

// Enrolment hands the daemon a token with which the tunnel registers once. The token is bound
// to the tunnel's key and environment, and is not kept. The answer comes when the control
// plane has answered.
type Enrolment struct {
	Token string `json:"token"`
}

// Drain says how long requests in flight may take, "5s". If Timeout is nil, the time that the
// operation gives them by itself; zero cuts them. It is MaxDrain at most.
type Drain struct {
	Timeout *mezu.Duration `json:"timeout,omitempty"`
}

// DrainFor is a Drain of that time.
func DrainFor(d time.Duration) Drain { return Drain{Timeout: (*mezu.Duration)(&d)} }

// Time is how long requests in flight get, or byDefault if it does not say.
func (d Drain) Time(byDefault time.Duration) time.Duration {
	if d.Timeout == nil {
		return byDefault
	}
	return time.Duration(*d.Timeout)
}

// Shutdown ends the daemon. Its tunnels come back with the next one, if they are detached.
type Shutdown struct {
	Drain
	// Idle asks it to end only when nothing is in flight; the answer comes at once.
	Idle bool `json:"idle,omitempty"`
	// Restart says that another daemon takes its place. The streams of its tunnels then just
	// end, and whoever holds one takes it up again there. Without it they end with a
	// mezu.EventStopped, after which nobody does.
	Restart bool `json:"restart,omitempty"`
}

// Times of the daemon.
const (
	// DrainTimeout is how long a tunnel's requests in flight get when it closes.
	DrainTimeout = 10 * time.Second
	// StreamTimeout is how long of that a request may go on that has no end of its own, such as a
	// WebSocket or a stream of events: a page of a development server holds one all the time.
	StreamTimeout = 2 * time.Second
	// RestartDrain is how long they get when the daemon is replaced.
	RestartDrain = 5 * time.Second
	// AttachGrace is how long a tunnel outlives the last stream that held it, so that a
	// command can take up its stream again.
	AttachGrace = 2 * time.Second
	// IdleEnd is how long the daemon waits for work after the last tunnel and client.
	IdleEnd = 10 * time.Minute
	// StatsEvery is how often streams tell of the figures.
	StatsEvery = time.Second
)

// Probe is one look at the way from the Warpgate to the workload.
type Probe struct {
	Workload mezu.Workload `json:"workload"`
	// ConnectMS is how long the connection to the workload took, in milliseconds.
	ConnectMS float64     `json:"connect_ms,omitempty"`
	Links     []mezu.Link `json:"links"`
}

// Event is one event of a stream: that of mezu.Event, and what is new.
type Event struct {
	mezu.Event
	// Cursor is the id of the event in its stream (WHATWG HTML, server-sent events), after
	// which a client resumes. It is good for the same stream only: of that tunnel, or of all.
	// EventStats has none.
	Cursor string `json:"-"`
	// TunnelID is the id of the tunnel; Tunnel of mezu.Event is its name.
	TunnelID string `json:"tunnel_id,omitempty"`
	// Record is the tunnel as it is now, of EventTunnel. If it is nil, the tunnel was removed.
	Record *mezu.Tunnel `json:"record,omitempty"`
	// Link is that of EventLink.
	Link *mezu.Link `json:"link,omitempty"`
	// Stats are those of EventStats.
	Stats *mezu.TunnelStats `json:"stats,omitempty"`
	// Exchange is the request of mezu.EventRequest as the inspector keeps it, or the one of
	// EventFrame; nil if it doesn't.
	Exchange *mezu.Exchange `json:"exchange,omitempty"`
	// Frame is that of EventFrame.
	Frame *mezu.Frame `json:"frame,omitempty"`
	// Phase is begin or end, of a request.
	Phase Phase `json:"phase,omitempty"`
	// Fixes are what to type or write, of an error that has several, beside Hint.
	Fixes []string `json:"fixes,omitempty"`
	// Missed is how many events were not sent, of EventGap, because the client did not read,
	// asked for ones that are not kept any more, or there were more requests than are told in
	// a second. It is zero if nobody knows: the cursor was of another stream, or of a daemon
	// that has ended.
	Missed uint64 `json:"missed,omitempty"`
}

// Phase is where a request is.
type Phase string

// Phases of requests. An upgraded or streaming one can be long between both. If the begin of a
// request is not sent because there were too many, its end isn't either. One that began before
// anybody read has an end without a begin.
const (
	PhaseBegin Phase = "begin"
	PhaseEnd   Phase = "end"
)

// Kinds of events beside mezu.EventRequest and mezu.EventError. A stream begins with what came
// after the cursor that it was asked for, if any, and then an EventTunnel of each of its
// tunnels, so that a client always knows how they are. It ends when its tunnel is removed, or
// with the daemon.
const (
	EventTunnel mezu.EventKind = "tunnel"
	EventLink   mezu.EventKind = "link"
	EventStats  mezu.EventKind = "stats"
	EventGap    mezu.EventKind = "gap"
	// EventStopping says in Message what the end of a tunnel waits for: «1 request under way (GET
	// /ws, 41 s)».
	EventStopping mezu.EventKind = "stopping"
)
