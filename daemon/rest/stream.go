package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
)

const (
	// batch is how many events are written at once: as many as the hub keeps of a tunnel, so
	// that whoever reads misses none that it has.
	batch = 512
	// batchEvery is the time between two batches: 20 a second, which is as smooth as eyes see,
	// however busy a tunnel is. What the hub does not keep until then is told by a gap.
	batchEvery = 50 * time.Millisecond
	// sendAt is how much is collected for one write at most, beside one event.
	sendAt = 64 << 10
	// keepAlives is after how many seconds without anything to say a comment is written.
	keepAlives = int(local.StreamKeepAlive / local.StatsEvery)
)

// stream is one open stream.
type stream struct {
	w       http.ResponseWriter
	flush   func() error
	pending bytes.Buffer
	line    *json.Encoder
	data    bytes.Buffer
	err     error // of the first write that failed
}

// stream writes the events of a tunnel, or of all for "", until the client has gone, the tunnel
// was removed or the server ends.
//
// Nobody waits for a client that does not read: what it is not fast enough for is dropped from
// the hub, which says how much that was. It may take as long as it likes, because it can be a
// command that was suspended, whose tunnel goes on. Only its own goroutine waits.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, id string) {
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetWriteDeadline(time.Time{})
	defer context.AfterFunc(s.streams, func() { _ = deadlines.SetWriteDeadline(time.Now().Add(lastWrite)) })()
	out := &stream{w: w, flush: deadlines.Flush}
	out.line = json.NewEncoder(&out.data)
	out.line.SetEscapeHTML(false)
	reader := s.cfg.Events.Reader(id, r.Header.Get("Last-Event-ID")) // before the client knows that it is told
	defer reader.Close()
	w.Header().Set("Content-Type", local.MediaEvents)
	w.WriteHeader(http.StatusOK)
	out.err = out.flush()
	for more := true; more && out.err == nil; {
		events, _ := reader.Take(nil, batch)
		out.add(events)
		more = len(events) >= batch
	}
	for _, t := range s.tunnels(id) {
		out.add([]local.Event{{Event: mezu.Event{Event: local.EventTunnel, Time: s.now(), Tunnel: t.Name}, Cursor: reader.Cursor(), TunnelID: t.ID, Record: &t}})
	}
	s.follow(r, out, reader, id)
}

// follow writes events as they come.
func (s *Server) follow(r *http.Request, out *stream, reader *event.Reader, id string) {
	each := time.NewTicker(local.StatsEvery)
	defer each.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	var events []local.Event
	quiet, rests := 0, false // it rests for batchEvery after each batch
	for {
		var more <-chan struct{}
		if !rests {
			events, more = reader.Take(events[:0], batch)
			out.add(events)
			rests = len(events) > 0 || out.pending.Len() > 0
			out.send()
			if out.err != nil || more == nil {
				return
			}
			if rests {
				pause.Reset(batchEvery)
				more = nil
			}
		}
		select {
		case <-more:
		case <-pause.C:
			rests = false
		case <-each.C:
			if quiet++; out.add(s.stats(id)) {
				quiet = 0
			} else if quiet >= keepAlives {
				out.pending.WriteString(": still here\n\n")
				quiet = 0
			}
		case <-r.Context().Done():
			return
		case <-s.streams.Done():
			return
		}
	}
}

// tunnels are those of a stream.
func (s *Server) tunnels(id string) []mezu.Tunnel {
	if id == "" {
		return s.cfg.Host.List()
	}
	t, err := s.cfg.Host.Get(id)
	if err != nil {
		return nil // it was removed, and the stream ends
	}
	return []mezu.Tunnel{t}
}

// stats are the figures of a stream's tunnels now.
func (s *Server) stats(id string) []local.Event {
	var out []local.Event
	for _, t := range s.tunnels(id) {
		out = append(out, local.Event{Event: mezu.Event{Event: local.EventStats, Time: s.now(), Tunnel: t.Name}, TunnelID: t.ID, Stats: &t.Stats})
	}
	return out
}

// add encodes events, and reports whether there were any.
func (out *stream) add(events []local.Event) bool {
	for i := range events {
		out.one(&events[i])
		if out.pending.Len() >= sendAt {
			out.send()
		}
	}
	return len(events) > 0
}

func (out *stream) one(e *local.Event) {
	out.data.Reset()
	if err := out.line.Encode(e); err != nil || out.data.Len() > maxData {
		// It can't be sent, so it is missed.
		gap := local.Event{Event: mezu.Event{Event: local.EventGap, Time: e.Time}, Cursor: e.Cursor, Missed: 1}
		out.data.Reset()
		_ = out.line.Encode(&gap) // a number and a time
		e = &gap
	}
	out.pending.WriteString("event: " + string(e.Event.Event) + "\n")
	if e.Cursor != "" {
		out.pending.WriteString("id: " + e.Cursor + "\n")
	}
	out.pending.WriteString("data: ")
	out.pending.Write(out.data.Bytes()) // ends with a newline
	out.pending.WriteByte('\n')
}

// maxData leaves room for the other lines of an event in local.MaxEvent.
const maxData = local.MaxEvent - 1<<10

// send writes what was added, unless that failed before.
func (out *stream) send() {
	if out.err == nil && out.pending.Len() > 0 {
		if _, out.err = out.w.Write(out.pending.Bytes()); out.err == nil {
			out.err = out.flush()
		}
	}
	out.pending.Reset()
}
