package web

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/tunnel"
)

// keptPiece is how much more memory is asked for at least, when a kept body grows.
const keptPiece = 4 << 10

// kept is a client whose body filters look at before it goes on. It is here as a whole, or as far as
// they want to see, or it is judged as it comes.
type kept struct {
	client
	x        *exchange
	src      relay.Source // the body as it comes
	body     []byte       // what is to go on next
	taken    int          // of the memory for all
	complete bool         // all of it is in body
	ended    bool         // the source has
	sent     bool         // body was given
}

var errNoRoom = &mezu.Error{Code: mezu.CodeOverloaded, Detail: "there are too many bodies to look at"}

// inspect reads the body as far as it is to be looked at, and has it judged. The client is told to
// send it, if it waits for that: nobody else can answer before.
func (k *kept) inspect() error {
	x := k.x
	x.Step = 0
	if x.pick() == nil {
		return x.noWarpgate()
	}
	k.keep()
	if x.Request.Expect {
		if err := k.Interim(nil); err != nil {
			return relay.ClientFault(err)
		}
		x.Request.Expect = false
	}
	idle := x.Route.IdleTimeout
	x.pace.Begin(leastBodyRate, min(bodyGrace, idle), min(bodyCredit, idle), k)
	if x.Judge != nil {
		return k.first()
	}
	whole, err := k.fill(x.Keep)
	if err != nil {
		return err
	}
	k.complete = whole
	return x.s.filters.Body(&x.Exchange, k.body, whole)
}

// fill reads the body, up to the first piece behind most bytes.
func (k *kept) fill(most int64) (whole bool, err error) {
	for int64(len(k.body)) <= most {
		p, err := k.x.pace.Next(k.src)
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, relay.BodyFault(err)
		}
		if err := k.add(p); err != nil {
			return false, err
		}
	}
	return false, nil
}

// add keeps a piece.
func (k *kept) add(p []byte) error {
	if more := len(k.body) + len(p) - cap(k.body); more > 0 {
		more = max(more, keptPiece, len(k.body))
		if err := k.take(more); err != nil {
			return err
		}
		k.body = append(make([]byte, 0, cap(k.body)+more), k.body...)
	}
	k.body = append(k.body, p...)
	return nil
}

// take asks for memory.
func (k *kept) take(n int) error {
	if !k.x.s.kept.take(tunnel.AddressOf(k.x.Client), k.x.Environment, n) {
		return errNoRoom
	}
	k.taken += n
	return nil
}

// first reads a body that is judged as it comes, up to the first piece that may go on.
func (k *kept) first() error {
	p, err := k.next(k.x.pace.Next)
	if err != nil && err != io.EOF {
		return relay.BodyFault(err)
	}
	k.body, k.complete = p, err == io.EOF
	return nil
}

// next gives the next piece that may go on, with io.EOF beside the last.
func (k *kept) next(read func(relay.Source) ([]byte, error)) (p []byte, err error) {
	defer func() {
		if v := recover(); v != nil { // whoever sends the body on may be a goroutine of its own
			k.x.broken = true
			k.x.s.cfg.Meter.Panicked()
			p, err = nil, &mezu.Error{Code: mezu.CodeInternal, Cause: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
	}()
	for {
		if p, err = read(k.src); err == io.EOF {
			if p, err = k.x.Judge.End(); err == nil {
				err = io.EOF
			}
			return p, err
		}
		if err == nil {
			p, err = k.x.Judge.Write(p)
		}
		if more := k.x.Judge.Held() - k.taken; err == nil && more > 0 {
			err = k.take(max(more, keptPiece))
		}
		if err != nil || len(p) > 0 {
			return p, err
		}
	}
}

// free gives the memory back. The exchange knows k until the next request of its connection, which
// may never come.
func (k *kept) free() {
	k.body, k.x.Judge = nil, nil
	if k.taken > 0 {
		k.x.s.kept.give(tunnel.AddressOf(k.x.Client), k.x.Environment, k.taken)
		k.taken = 0
	}
}

// Source is the body as it may go on.
func (k *kept) Source() relay.Source { return k }

// UploadNow reports whether it is here as a whole.
func (k *kept) UploadNow() bool { return k.complete }

// Hold holds nothing: the body was read as far as it is to be held.
func (k *kept) Hold(*relay.Pace, relay.Store) error { return nil }

// Rewind makes the body begin anew, if it is here as a whole.
func (k *kept) Rewind() bool {
	k.sent = k.sent && !k.complete
	return !k.sent
}

// Next gives the next piece.
func (k *kept) Next() ([]byte, error) {
	if !k.sent {
		if k.sent = true; len(k.body) > 0 {
			return k.body, nil
		}
	}
	switch {
	case k.complete, k.ended:
		return nil, io.EOF
	case k.x.Judge == nil:
		return k.src.Next()
	}
	p, err := k.next(relay.Source.Next)
	if err == io.EOF {
		if k.ended = true; len(p) > 0 {
			err = nil
		}
	}
	return p, err
}

// Ready reports whether Next returns without waiting.
func (k *kept) Ready() bool { return !k.sent || k.complete || k.ended || k.src.Ready() }

// Trailer is the source's.
func (k *kept) Trailer() []relay.Field { return k.src.Trailer() }
