package mezu

import "time"

// Event is one line of "--json" output of a program that runs tunnels. Fields
// that do not belong to the event are left out.
type Event struct {
	Event EventKind `json:"event"`
	Time  time.Time `json:"time"`

	// Tunnel is the name of the tunnel of the local daemon that the event is about.
	Tunnel string `json:"tunnel,omitempty"`

	URL          string `json:"url,omitempty"`
	Organization string `json:"organization,omitempty"`
	Project      string `json:"project,omitempty"`
	Environment  string `json:"environment,omitempty"`
	Upstream     string `json:"upstream,omitempty"`
	WarpgateID   string `json:"warpgate_id,omitempty"`
	API          string `json:"api,omitempty"`
	Profile      string `json:"profile,omitempty"` // that "mezu dev" wrote
	CAFile       string `json:"ca_file,omitempty"`
	Token        string `json:"token,omitempty"`
	// Mailbox is the page with the mails of "mezu dev", LoginLink how the developer logs in at
	// the control plane by a browser, once.
	Mailbox   string `json:"mailbox,omitempty"`
	LoginLink string `json:"login_link,omitempty"`

	ID     string `json:"id,omitempty"`
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	// Query begins with a question mark. Values that may be secrets are masked in it.
	Query string `json:"query,omitempty"`
	// Client is the visitor's address, Upgrade the protocol that the request asks for.
	Client     string  `json:"client,omitempty"`
	Upgrade    string  `json:"upgrade,omitempty"`
	DurationMS float64 `json:"duration_ms,omitempty"`
	BytesIn    int64   `json:"bytes_in,omitempty"`
	BytesOut   int64   `json:"bytes_out,omitempty"`
	Route      string  `json:"route,omitempty"`
	User       string  `json:"user,omitempty"`

	// Status is the HTTP status of a request as a number, or a Warpgate's
	// status as a word.
	Status   any      `json:"status,omitempty"`
	Revision Position `json:"revision,omitzero"`

	Code Code `json:"code,omitempty"`
	// Cause says what kept a request from its proper end, its answer included: a
	// response that was cut has the status that it began with, and a cause.
	Cause   Cause  `json:"cause,omitempty"`
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`

	// A mail: Links are all addresses in Text, which is what its HTML says.
	To      string   `json:"to,omitempty"`
	Subject string   `json:"subject,omitempty"`
	Links   []string `json:"links,omitempty"`
	Text    string   `json:"text,omitempty"`
}

// EventKind names an event.
type EventKind string

// Kinds of events.
const (
	EventReady    EventKind = "ready"
	EventRequest  EventKind = "request"
	EventWarpgate EventKind = "warpgate"
	EventConfig   EventKind = "config"
	EventMail     EventKind = "mail"     // of "mezu dev", which sends none
	EventWorkload EventKind = "workload" // something answers at Upstream, where nothing did
	EventError    EventKind = "error"
	EventStopped  EventKind = "stopped"
)
